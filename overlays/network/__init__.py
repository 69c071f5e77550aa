"""Concern: ports, addresses and what each port lets in."""
