"""What runs on an installation medium: the same flashing, on the box itself, by hand or by rules."""
