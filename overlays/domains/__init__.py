"""Concern: the protected domains and their servers."""
