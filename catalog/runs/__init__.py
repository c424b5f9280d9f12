"""Runs in the catalog: what a running flow writes, and what is read of it."""
