"""The columns of a schema over REST."""
