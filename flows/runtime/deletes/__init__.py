"""Deletes of the source, noticed by comparing its keys with those of the table when the rows of a run are loaded."""
