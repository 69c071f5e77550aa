"""An image onto a disk: which disk and why not, write, read back, receipt."""
