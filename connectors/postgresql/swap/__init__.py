"""Replacing a table's rows: shadow tables, emptying, backups."""
