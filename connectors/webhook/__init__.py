"""Records that other systems send to Headrace, read from where the API keeps them."""
