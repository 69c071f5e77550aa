"""The same verbs on a machine that is reached over SSH."""
