"""Concern: the smart host, through which mail to the world leaves."""
