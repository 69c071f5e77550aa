"""Webmail: nothing is decided here yet; what it shows follows from mail host and mailboxes."""
