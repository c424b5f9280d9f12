"""The catalog: tenants, keys, connectors, schemas, pipelines, IR versions and runs, in PostgreSQL."""
