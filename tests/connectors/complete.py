"""A complete configuration of every connector."""

from __future__ import annotations

from typing import Any

COMPLETE: dict[str, dict[str, Any]] = {
    "postgresql": {"host": "h", "port": 5432, "database": "d"},
    "mysql": {"host": "h", "port": 3306, "database": "d"},
    "redshift": {"host": "h", "port": 5439, "database": "d"},
    "snowflake": {"account": "xy12345.us-east-1", "warehouse": "COMPUTE_WH", "database": "ANALYTICS"},
    "databricks": {"host": "h", "httpPath": "/sql"},
    "bigquery": {"project": "p", "dataset": "d"},
    "mongodb": {"host": "h"},
    "kafka": {"bootstrapServers": "h:9092"},
    "confluent_kafka": {"bootstrapServers": "h:9092"},
    "aws_s3": {"bucket": "b", "region": "eu-central-1"},
    "gcs": {"bucket": "b", "project": "p"},
    "azure_blob": {"container": "c", "storageAccount": "s"},
    "sftp": {"host": "h", "port": 22},
    "rest_api": {"url": "https://example.org/x"},
    "webhook": {},
    "amazon_kinesis": {"streamName": "s", "region": "eu-central-1"},
    "salesforce": {"instanceUrl": "https://example.org"},
    "hubspot": {},
    "shopify": {"shop": "my-shop"},
    "mailchimp": {"dataCenter": "us6"},
    "braze": {"restEndpoint": "https://rest.example.org"},
    "github": {"owner": "octo"},
}
"""The documented types, each with the least that the reference page requires of it."""
