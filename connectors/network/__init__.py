"""Which addresses connectors may connect to, and how they connect."""
