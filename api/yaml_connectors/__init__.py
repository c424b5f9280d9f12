"""`/yaml-connectors`: connectors for HTTP APIs as documents, with versions."""
