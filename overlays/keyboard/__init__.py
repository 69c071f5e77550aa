"""Concern: the keyboard of the box's screen."""
