"""Settings into configuration, on the box: the only writer of configuration there.

`pipeline.apply` is the table of contents for a change, `boot.boot` for each start of the box.
"""
