"""The machine this program runs on: programs, files, documents, errors, progress."""
