"""The local stack: PostgreSQL, a Prefect server, a worker and the API, with one data folder."""
