"""Connector types that hold files."""

from __future__ import annotations

from connectors.catalogue.base import Address, ClosedConfig, Config, ConnectorType, Port, Text


class LocalFolder(ClosedConfig):
    base_path: Text | None = None
    """A folder under the files folder that the paths of pipelines are relative to."""


class S3(Config):
    bucket: Address
    region: Address
    prefix: Text | None = None


class Gcs(Config):
    bucket: Address
    project: Text


class AzureBlob(Config):
    container: Text
    storage_account: Address


class Sftp(Config):
    host: Address
    port: Port


FILES = (
    ConnectorType(
        "local_fs",
        "Local files",
        "files",
        "Files below the files folder of the server.",
        LocalFolder,
        "local_fs",
        auth_methods=("none",),
    ),
    ConnectorType(
        "aws_s3", "Amazon S3", "files", "Objects in a bucket.", S3, "s3", auth_methods=("access_key", "iam_role")
    ),
    ConnectorType(
        "gcs", "Google Cloud Storage", "files", "Objects in a bucket.", Gcs, "gcs", auth_methods=("service_account",)
    ),
    ConnectorType("azure_blob", "Azure Blob Storage", "files", "Blobs in a container.", AzureBlob, "azure_blob"),
    ConnectorType("sftp", "SFTP", "files", "Files on an SSH server.", Sftp, "sftp", auth_methods=("basic", "key_pair")),
    ConnectorType("csv_upload", "CSV upload", "files", "A CSV file sent by a browser.", Config, "csv_upload"),
)
