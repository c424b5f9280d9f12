"""Checks of a document and its published JSON Schema, before anything runs."""
