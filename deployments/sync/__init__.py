"""Background jobs of the API process: they keep Prefect, the catalog and the audit log in line."""
