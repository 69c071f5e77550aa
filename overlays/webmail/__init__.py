"""Concern: webmail, for users whose mailboxes are on the box."""
