"""Concern: time zone and time servers."""
