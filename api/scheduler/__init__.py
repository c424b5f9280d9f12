"""The state of schedules over REST."""
