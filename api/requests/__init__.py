"""What every request passes before its endpoint: middleware, authentication, limits, checks of the body."""
