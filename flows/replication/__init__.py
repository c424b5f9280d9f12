"""Replications: many tables of one connection, each expanded to a pipeline of its own, in one flow run."""
