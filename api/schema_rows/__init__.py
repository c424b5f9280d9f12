"""The rows behind a schema over REST, and statistics of them."""
