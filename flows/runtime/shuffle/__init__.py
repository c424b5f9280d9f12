"""Rows exchanged between stages through files, partitioned into buckets."""
