"""What databases have in common as sources: tables and queries, split by keys, read on from a cursor.

A system is a `dialect.Dialect`; `source.SqlSource` over it is its `Source`.
"""
