"""Health checks, logs and metrics of the API."""
