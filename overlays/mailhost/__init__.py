"""Concern: the box as a mail host: its name and its mail server."""
