"""Snowflake as a source: a query is run once, and the batches of its stored result are the partitions."""
