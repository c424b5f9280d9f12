"""Runs a document in the caller's process, with the ledger and without Prefect and the catalog."""
