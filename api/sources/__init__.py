"""The sources of pipelines: the columns last found in them, and how far they were read."""
