"""Partitions on a Dask or Ray cluster."""
