"""Prefect's API: pipelines as deployments, runs and their states. Whatever is not a flow goes through
`orchestrator`."""
