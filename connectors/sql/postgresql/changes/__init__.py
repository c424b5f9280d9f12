"""Change data capture: a table, and then every change of it, from a logical replication slot."""
