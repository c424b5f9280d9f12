"""Sending rows to an API: the settings of such a target, requests, answers, and the load."""
