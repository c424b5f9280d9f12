"""Faults at random moments of real runs, and the proof that no row was lost or doubled: `make chaos`."""
