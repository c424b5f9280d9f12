"""The stack's PostgreSQL: the embedded server, roles, logins and databases."""
