"""`/hooks`: what other systems send."""
