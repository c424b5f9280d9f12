"""Lineage over REST: which run loaded a row."""
