"""What Headrace remembers: tenants, keys, connectors, schemas, pipelines, IR versions, and what every run did."""
