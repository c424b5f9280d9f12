"""The HTTP server of the facade: uvicorn with limits on what a connection may cost."""
