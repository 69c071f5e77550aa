"""From an artefact to a box in service."""
