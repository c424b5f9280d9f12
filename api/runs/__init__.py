"""Runs of pipelines over REST."""
