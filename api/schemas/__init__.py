"""Schemas over REST; each has a table in PostgreSQL."""
