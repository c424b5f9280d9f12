"""Storage for the files exchanged between stages: a folder or an object store."""
