"""From facts and files to an artefact."""
