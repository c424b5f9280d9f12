"""PostgreSQL as a target: what a table is, how rows are encoded and copied, what has been committed."""
