"""Tables of the target database: their definition, quarantine, ownership and cleanup."""
