"""The target tables of a run: locks, columns, publication."""
