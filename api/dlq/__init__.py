"""Quarantined rows of a run over REST."""
