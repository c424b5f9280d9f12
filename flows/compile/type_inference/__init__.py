"""Types of text columns that nothing declares, inferred from their uses and values."""
