"""Copying rows into a table: encoding, checks before, rows that are rejected."""
