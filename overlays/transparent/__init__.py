"""Concern: transparent mode: what is picked up from the wire, and the SMTP proxy that reads it."""
