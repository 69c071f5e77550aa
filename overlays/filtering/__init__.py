"""Filtering: spam and viruses, scored and refused while a message comes in."""
