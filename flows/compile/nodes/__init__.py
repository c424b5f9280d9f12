"""What the nodes that are not made of ops compile to."""
