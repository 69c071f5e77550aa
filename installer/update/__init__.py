"""Slots: which of the two root file systems the boot loader takes, and what it is told about them."""
