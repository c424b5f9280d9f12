"""Files of connectors, schemas and pipelines: read, checked, written."""
