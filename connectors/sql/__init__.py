"""Shared by databases as sources: tables and queries, split by keys, read incrementally by a cursor.

A system is a `dialect.Dialect`; `source.SqlSource` over it is its `Source`.
"""
