"""Rows of a schema's table over REST, and statistics of its columns."""
