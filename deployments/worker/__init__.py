"""Headrace's worker type for Prefect: runs start as forks of a process that has imported everything already."""
