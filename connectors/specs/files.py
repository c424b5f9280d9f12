"""Connector types that hold files."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, SecretStr, model_validator

from headrace.connectors.specs.base import ClosedConfig, Config, ConnectorType, Port, Text, Url, one_of
from headrace.ir.problems import fault


class LocalFolder(ClosedConfig):
    base_path: Text | None = None
    """A folder under the files folder, to which pipelines' paths are relative."""


class S3(Config):
    model_config = ConfigDict(use_attribute_docstrings=True)

    bucket: Text
    region: Text
    prefix: Text | None = None
    """The folder of the bucket to which pipelines' paths are relative."""
    endpoint: Url | None = None
    """A server with the API of S3 (MinIO, Ceph, ...). Default: Amazon's own."""


class AccessKey(Config):
    model_config = ConfigDict(use_attribute_docstrings=True)

    access_key_id: Text
    secret_access_key: Annotated[SecretStr, Field(json_schema_extra={"writeOnly": True})]
    session_token: Annotated[SecretStr, Field(json_schema_extra={"writeOnly": True})] | None = None
    """The session token of temporary keys."""


class Gcs(Config):
    model_config = ConfigDict(use_attribute_docstrings=True)

    bucket: Text
    project: Text
    prefix: Text | None = None
    """The folder of the bucket to which pipelines' paths are relative."""
    endpoint: Url | None = None
    """A server with the API of Google Cloud Storage, such as an emulator. Default: Google's own."""


class ServiceAccountKey(Config):
    model_config = ConfigDict(use_attribute_docstrings=True)

    service_account: Annotated[dict[str, Any] | str, Field(json_schema_extra={"writeOnly": True})]
    """The JSON file of the service account's key, as an object or a text."""


class AzureBlob(Config):
    model_config = ConfigDict(use_attribute_docstrings=True)

    container: Text
    storage_account: Text
    prefix: Text | None = None
    """The folder of the container to which pipelines' paths are relative."""
    endpoint: Url | None = None
    """Another endpoint of the account (of another cloud, of an emulator). Default:
    `https://ACCOUNT.blob.core.windows.net`."""


class AzureLogin(Config):
    model_config = ConfigDict(use_attribute_docstrings=True)

    account_key: Annotated[SecretStr, Field(json_schema_extra={"writeOnly": True})] | None = None
    sas_token: Annotated[SecretStr, Field(json_schema_extra={"writeOnly": True})] | None = None
    """A shared access signature for the container: `sv=…&sig=…`."""


class Sftp(Config):
    model_config = ConfigDict(use_attribute_docstrings=True)

    host: Text
    port: Port
    host_key: Text | None = None
    """The server's public key (`ssh-ed25519 AAAA…`) or its fingerprint (`SHA256:…`). Required to log in; a connection
    test reports the key that the server shows."""
    base_path: Text | None = None
    """The folder to which pipelines' paths are relative. Default: the login folder."""


class SshLogin(Config):
    model_config = ConfigDict(use_attribute_docstrings=True)

    username: Text
    password: Annotated[SecretStr, Field(json_schema_extra={"writeOnly": True})] | None = None
    private_key: Annotated[SecretStr, Field(json_schema_extra={"writeOnly": True})] | None = None
    """A key in PEM or OpenSSH format."""
    passphrase: Annotated[SecretStr, Field(json_schema_extra={"writeOnly": True})] | None = None
    """The passphrase of an encrypted private key."""


class HttpPull(Config):
    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=one_of("url", "urls", "manifest"))

    url: Url | None = None
    """The URL of one file."""
    urls: Annotated[list[Url], Field(max_length=1000)] = []
    """The URLs of several files; each file is named by the last part of its URL."""
    manifest: Url | None = None
    """The URL of a file that lists files: a JSON array of URLs, `{"files": [{"url": "…"}]}`, or one URL per line."""
    insecure_login: bool = False
    """Send the credentials over http too, in a trusted network."""

    @model_validator(mode="after")
    def _somehow(self) -> HttpPull:
        if self.url is None and not self.urls and self.manifest is None:
            raise fault("missing_field", "'url', 'urls' or 'manifest' is required", "add one of the three")
        return self


class HttpLogin(Config):
    model_config = ConfigDict(use_attribute_docstrings=True)

    token: Annotated[SecretStr, Field(json_schema_extra={"writeOnly": True})] | None = None
    """Sent as `Authorization: Bearer …`, only to the servers of the config."""
    username: Text | None = None
    password: Annotated[SecretStr, Field(json_schema_extra={"writeOnly": True})] | None = None


FILES = (
    ConnectorType(
        "local_fs",
        "Local files",
        "files",
        "Files below the tenant's files folder on the server.",
        LocalFolder,
        "local_fs",
        auth_methods=("none",),
    ),
    ConnectorType(
        "aws_s3",
        "Amazon S3",
        "files",
        "Objects in a bucket.",
        S3,
        "s3",
        auth=AccessKey,
        auth_methods=("access_key", "iam_role"),
    ),
    ConnectorType(
        "gcs",
        "Google Cloud Storage",
        "files",
        "Objects in a bucket.",
        Gcs,
        "gcs",
        auth=ServiceAccountKey,
        auth_methods=("service_account",),
    ),
    ConnectorType(
        "azure_blob",
        "Azure Blob Storage",
        "files",
        "Blobs in a container.",
        AzureBlob,
        "azure_blob",
        auth=AzureLogin,
        auth_methods=("access_key", "token"),
    ),
    ConnectorType(
        "sftp",
        "SFTP",
        "files",
        "Files on an SSH server.",
        Sftp,
        "sftp",
        auth=SshLogin,
        auth_methods=("basic", "key_pair"),
    ),
    ConnectorType(
        "http_pull",
        "Files over HTTP",
        "web",
        "Files that web servers give.",
        HttpPull,
        "http_pull",
        auth=HttpLogin,
        auth_methods=("none", "token", "basic"),
    ),
    ConnectorType(
        "csv_upload",
        "CSV upload",
        "files",
        "A CSV file sent by a browser.",
        Config,
        "csv_upload",
        auth_methods=("none",),
    ),
)
