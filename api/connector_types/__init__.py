"""The connector types over REST."""
