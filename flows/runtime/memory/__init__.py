"""The memory of a run's process: its limit, how it is enforced, and the node that used it."""
