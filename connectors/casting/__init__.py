"""Casts of text and native values to the data types of the IR."""
