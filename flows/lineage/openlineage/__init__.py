"""Runs as OpenLineage tells them: what they read and write, and from which columns. `telling` is the door; the client
library is imported behind it, by runs that have somebody to tell."""
