"""What a run shows to people who work in Prefect: names, log lines, artifacts, events. No row depends on any of it."""
