"""Locks of a run: on its target, on tables, and what it waits for."""
