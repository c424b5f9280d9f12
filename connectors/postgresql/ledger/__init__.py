"""What has been committed: the tables of the `_headrace` schema."""
