"""Amazon Redshift as a source: large tables are unloaded to S3 as Parquet and read from there, others are selected."""
