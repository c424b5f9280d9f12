"""The processing of every request before its endpoint: middleware, authentication, limits, checks of the body."""
