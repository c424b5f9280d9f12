"""Sources that read files: where they lie (one module per store) and how they are written (one per format)."""
