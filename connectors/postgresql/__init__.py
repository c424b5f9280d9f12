"""PostgreSQL as a target: table definitions, encoding and copying of rows, the ledger."""
