"""Sources that read files: where files are stored (one module per store) and their formats (one per format)."""
