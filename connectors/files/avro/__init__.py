"""Avro container files: their header, their blocks, and the rows of blocks."""
