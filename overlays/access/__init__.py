"""Concern: which clients may relay, and which are refused."""
