"""PostgreSQL as a source: read by COPY, typed by the server, split by keys or pages under one snapshot.

PostgreSQL as the target is `headrace.connectors.postgresql`.
"""
