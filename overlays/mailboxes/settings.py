"""The store of mailboxes. In gateway and transparent mode it holds the quarantine alone, and decides nothing."""
