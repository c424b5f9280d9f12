"""What files own, over REST."""
