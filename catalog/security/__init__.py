"""API keys, connector credentials, database roles and logins."""
