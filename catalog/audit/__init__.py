"""The audit log: who changed what, its hash chain, seals and their witness."""
