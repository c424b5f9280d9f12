"""What a run would do and show, without loading a row: plan and preview."""
