"""Runs of replications, written by a running flow."""
