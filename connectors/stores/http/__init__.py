"""Files on web servers: the connector `http_pull`."""
