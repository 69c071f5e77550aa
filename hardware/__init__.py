"""Facts about boxes, and about the machine that this program runs on."""
