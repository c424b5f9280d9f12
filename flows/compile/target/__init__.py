"""From the rows of a plan to a table: its columns, keys, change events and schema contract."""
