"""The IR of pipelines over REST: versions, differences, publishing, and validation of documents."""
