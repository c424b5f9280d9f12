"""Braze as a target: attributes, events and purchases of users."""
