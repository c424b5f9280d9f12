"""Headrace's worker type for Prefect: runs are forked from a process that has everything imported."""
