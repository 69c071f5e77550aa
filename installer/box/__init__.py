"""The command `postern` on the box: what an administrator sees, asks and changes there."""
