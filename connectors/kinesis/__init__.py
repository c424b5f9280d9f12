"""Data streams of Amazon Kinesis as sources."""
