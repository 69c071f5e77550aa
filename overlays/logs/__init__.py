"""Concern: what the box says of itself, and who is told."""
