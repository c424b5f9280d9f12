"""The facade: the REST API of Headrace."""
