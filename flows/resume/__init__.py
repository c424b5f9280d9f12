"""Runs that continue earlier runs: retries of failed runs and replays of failed rows."""
