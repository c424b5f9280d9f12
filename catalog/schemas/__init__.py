"""Schemas and their tables: names, DDL, rows, statistics, lineage."""
