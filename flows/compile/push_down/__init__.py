"""Push-down to sources: only the columns and rows that a plan needs."""
