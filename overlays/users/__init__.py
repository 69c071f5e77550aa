"""Concern: the users of server mode: who they are, and how they get at their mail."""
