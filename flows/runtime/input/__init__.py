"""The input of a run: files that arrive, batches of a partition, prefetching."""
