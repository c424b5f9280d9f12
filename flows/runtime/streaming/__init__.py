"""Streaming runs: epochs one after the other, without Prefect."""
