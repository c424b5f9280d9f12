"""Alembic migrations of the schema `headrace`."""
