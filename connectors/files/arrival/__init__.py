"""Waiting for files, claiming them for one run, and archiving them afterwards."""
