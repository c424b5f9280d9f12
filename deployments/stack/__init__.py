"""The local all-in-one stack: PostgreSQL, a Prefect server, a worker and the facade under one data folder."""
