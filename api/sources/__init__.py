"""What the sources of pipelines are: the columns last found in them, and how far they were read."""
