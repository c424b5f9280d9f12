"""A server of the Model Context Protocol: what the REST API can do, as tools for agents."""
