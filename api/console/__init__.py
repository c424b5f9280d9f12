"""The console: the pages that people look at, served by the API's process at `/`."""
