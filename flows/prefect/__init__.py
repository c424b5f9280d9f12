"""What a run shows in Prefect: names, log lines, artifacts, events. No row depends on them."""
