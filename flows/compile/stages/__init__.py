"""Stages of a physical plan: building them, and describing them."""
