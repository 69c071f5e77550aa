"""Concern: the web server, its certificate, and the pages that it leads to."""
