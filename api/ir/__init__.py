"""The IR of pipelines over REST: versions, differences, publishing, and checking any document."""
