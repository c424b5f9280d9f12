"""A load into one table: its specification, its loaders, its staging table and its publication."""
