"""One page a concern. Pages do not know each other."""
