"""Concern: the store of mailboxes: quarantine in every mode, the users' mail in server mode."""
