"""`headrace keys`: API keys, encryption keys and the audit log."""
