"""`headrace demo`: loads real data over the REST API, and checks the result against the source."""
