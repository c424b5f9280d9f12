"""HTTP APIs as sources, page by page."""
