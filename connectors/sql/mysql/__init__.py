"""MySQL and MariaDB as sources: read over the text protocol, typed by the server, split by ranges of an index."""
