"""Quarantined rows of a run."""
