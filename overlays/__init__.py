"""The files we own, and the decisions they are made from."""
