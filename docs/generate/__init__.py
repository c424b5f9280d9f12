"""Makes the pages of `docs/` that are read off the code: `make docs`."""
