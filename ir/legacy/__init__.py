"""Converts legacy nodes and edges to an IR document."""
