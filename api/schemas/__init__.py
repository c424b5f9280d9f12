"""Schemas over REST: each is a real table."""
