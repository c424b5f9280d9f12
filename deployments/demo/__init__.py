"""`headrace demo`: the main job on real data over the REST API, checked against the source."""
