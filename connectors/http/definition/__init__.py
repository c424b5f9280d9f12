"""Connectors as documents: an HTTP API described in YAML, checked as a whole, and made a record of type `rest_api`."""
