"""Connector types that are databases and warehouses."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, SecretStr, StringConstraints, model_validator

from headrace.connectors.specs.base import HARMLESS, ClosedConfig, Config, ConnectorType, Port, Text, Url, one_of
from headrace.connectors.specs.files import ServiceAccountKey
from headrace.ir.problems import fault

Secret = Annotated[SecretStr, Field(json_schema_extra={"writeOnly": True})]


class Database(Config):
    host: Text
    port: Port
    database: Text


class PostgreSQL(Database):
    model_config = ConfigDict(use_attribute_docstrings=True)

    sslmode: Annotated[
        Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        Field(alias="sslmode"),
    ] = "prefer"
    ssl_root_cert: Annotated[str, Field(max_length=100_000)] | None = None
    """The CA certificate of the server, as PEM text; with `verify-full` by default the system's CAs."""
    schema_: Annotated[Text | None, Field(alias="schema", json_schema_extra=HARMLESS)] = None


class MySQL(Database):
    model_config = ConfigDict(use_attribute_docstrings=True)

    sslmode: Annotated[
        Literal["disable", "prefer", "require", "verify-ca", "verify-full"],
        Field(alias="sslmode"),
    ] = "prefer"
    ssl_root_cert: Annotated[str, Field(max_length=100_000)] | None = None
    """The CA certificate of the server, as PEM text; with `verify-full` by default the system's CAs."""


class Login(ClosedConfig):
    model_config = ConfigDict(use_attribute_docstrings=True)

    username: Text
    password: Annotated[SecretStr, Field(json_schema_extra={"writeOnly": True})] = SecretStr("")
    ssl_cert: Annotated[SecretStr, Field(json_schema_extra={"writeOnly": True})] | None = None
    """A client certificate, as PEM text."""
    ssl_key: Annotated[SecretStr, Field(json_schema_extra={"writeOnly": True})] | None = None
    """Its key, as PEM text, not encrypted."""


Account = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,250})$")]


class Snowflake(Config):
    model_config = ConfigDict(use_attribute_docstrings=True)

    account: Account
    """The account's identifier: `myorg-myaccount`, or a locator with its region, `xy12345.eu-central-1`."""
    warehouse: Annotated[Text, Field(json_schema_extra=HARMLESS)]
    database: Text
    schema_: Annotated[Text | None, Field(alias="schema", json_schema_extra=HARMLESS)] = None
    """The schema of unqualified tables; PUBLIC by default."""
    role: Text | None = None
    """The role; by default the user's default role."""
    url: Url | None = None
    """The URL of the account, if not its host under snowflakecomputing.com, for example a private link. Plain http is
    allowed only within the operator's networks."""


class SnowflakeLogin(ClosedConfig):
    """A password, a key pair, an OAuth token or a programmatic access token: one of them."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    username: Text | None = None
    """The user; required except for an OAuth token."""
    password: Secret | None = None
    private_key: Secret | None = None
    """The private key of the pair, as PEM text (PKCS#8)."""
    private_key_passphrase: Secret | None = None
    """The passphrase of the private key, if it has one."""
    access_token: Secret | None = None
    """An OAuth access token."""
    token: Secret | None = None
    """A programmatic access token (PAT)."""


class Redshift(PostgreSQL):
    model_config = ConfigDict(use_attribute_docstrings=True)

    sslmode: Annotated[
        Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        Field(alias="sslmode"),
    ] = "require"
    region: Text | None = None
    """The AWS region of the UNLOAD bucket, and of the cluster for an IAM login."""
    cluster_identifier: Text | None = None
    """The cluster's identifier, for IAM logins: the access key is exchanged for a temporary password."""
    api_endpoint: Url | None = None
    """The URL of Redshift's API, if not Amazon's default, for example a private link."""
    unload_to: Annotated[
        Annotated[
            str, StringConstraints(pattern=r"^s3://[A-Za-z0-9][A-Za-z0-9.-]{1,61}[A-Za-z0-9](/[A-Za-z0-9._/=-]*)?$")
        ]
        | None,
        Field(max_length=1000),
    ] = None
    """The UNLOAD folder for large tables: `s3://bucket/folder`. Without it, tables are read by SELECT."""
    unload_role: (
        Annotated[
            str, StringConstraints(pattern=r"^(default|arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]+)$")
        ]
        | None
    ) = None
    """The role with which the cluster writes to the UNLOAD folder: its ARN, or `default` for the cluster's default
    role."""
    s3_endpoint: Url | None = None
    """A server with the API of S3 that the cluster writes to. Default: Amazon's own."""

    @model_validator(mode="after")
    def _unloads(self) -> Redshift:
        if self.unload_to is not None and (self.unload_role is None or self.region is None):
            raise fault("missing_field", "'unloadTo' needs 'unloadRole' and 'region'", "add both")
        return self


class RedshiftLogin(ClosedConfig):
    model_config = ConfigDict(use_attribute_docstrings=True)

    username: Text
    password: Secret = SecretStr("")
    ssl_cert: Secret | None = None
    """A client certificate, as PEM text."""
    ssl_key: Secret | None = None
    """Its key, as PEM text, not encrypted."""
    access_key_id: Text | None = None
    """The id of an access key that may list, read and delete the unloaded files; by default the server's role, for
    buckets that the operator allows. Without a password it is also the login, with `clusterIdentifier`."""
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    """The session token of temporary keys."""


class Databricks(Config):
    model_config = ConfigDict(use_attribute_docstrings=True)

    host: Text
    """The host of the workspace: `dbc-a1b2c3d4-e5f6.cloud.databricks.com`."""
    http_path: Text
    """The HTTP path of the SQL warehouse, from its connection details: `/sql/1.0/warehouses/…`."""
    catalog: Annotated[Text | None, Field(json_schema_extra=HARMLESS)] = None
    """The catalog of unqualified tables and of listings; by default the workspace's default."""
    schema_: Annotated[Text | None, Field(alias="schema", json_schema_extra=HARMLESS)] = None
    """The schema of unqualified tables; `default` by default."""
    url: Url | None = None
    """The URL of the workspace, if not https://host. Plain http is allowed only within the operator's networks."""


class DatabricksLogin(ClosedConfig):
    """A personal access token, or the client id and secret of a service principal."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    token: Secret | None = None
    """A personal access token."""
    client_id: Text | None = None
    """The application id of a service principal, for OAuth."""
    client_secret: Secret | None = None
    """Its OAuth secret."""


class BigQuery(Config):
    model_config = ConfigDict(use_attribute_docstrings=True)

    project: Text
    """The project that is billed for queries and reads, and the project of unqualified tables."""
    dataset: Annotated[Text, Field(json_schema_extra=HARMLESS)]
    """The dataset of unqualified tables and of listings."""
    location: Annotated[Text | None, Field(json_schema_extra=HARMLESS)] = None
    """The location of queries, such as EU or europe-west3; by default that of their tables."""
    endpoint: Url | None = None
    """The URL of the REST API, if not bigquery.googleapis.com. Plain http is allowed only within the operator's
    networks."""
    storage_endpoint: Url | None = None
    """The address of the Storage Read API (gRPC), if not bigquerystorage.googleapis.com."""


class MongoDB(Config):
    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=one_of("host", "connectionString"))

    host: Text | None = None
    """One host, or the seeds of a replica set: `a.example.org,b.example.org:27018`."""
    port: Port | None = None
    """The port of hosts without a port; 27017 by default."""
    connection_string: Text | None = None
    """Instead of a host: `mongodb://…` or `mongodb+srv://…`. With a password in it, it is stored like a credential."""
    database: Text | None = None
    """The database; by default that of the connection string."""
    tls: bool | None = None
    """Whether TLS is used; by default as in the connection string, and on for a host. Off is allowed only within the
    operator's networks."""
    ssl_root_cert: Annotated[str, Field(max_length=100_000)] | None = None
    """The CA certificate of the server, as PEM text; by default the system's CAs."""
    replica_set: Text | None = None
    """The replica set's name: its members are then found through the seeds."""
    auth_source: Text | None = None
    """The authentication database; by default `admin`, or that of the SRV record."""
    auth_mechanism: Literal["SCRAM-SHA-1", "SCRAM-SHA-256", "MONGODB-X509"] | None = None
    """The authentication mechanism; by default one that the server offers."""
    read_preference: Annotated[
        Literal["primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest"] | None,
        Field(json_schema_extra=HARMLESS),
    ] = None
    """The members that are read from; by default the primary."""

    @model_validator(mode="after")
    def _somewhere(self) -> MongoDB:
        if self.host is None and self.connection_string is None:
            raise fault("missing_field", "'host' or 'connectionString' is required", "add one of the two")
        return self


class MongoLogin(ClosedConfig):
    """A user and a password, a client certificate, or neither if the server needs none."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    username: Text | None = None
    password: Secret | None = None
    ssl_cert: Secret | None = None
    """A client certificate, as PEM text. Without a password it is the login (X.509)."""
    ssl_key: Secret | None = None
    """Its key, as PEM text, not encrypted."""


DATABASES = (
    ConnectorType(
        "postgresql",
        "PostgreSQL",
        "database",
        "Tables of a PostgreSQL database.",
        PostgreSQL,
        "postgresql",
        auth=Login,
        auth_methods=("basic",),
    ),
    ConnectorType(
        "mysql",
        "MySQL",
        "database",
        "Tables of a MySQL or MariaDB database.",
        MySQL,
        "mysql",
        auth=Login,
        auth_methods=("basic",),
    ),
    ConnectorType(
        "mongodb",
        "MongoDB",
        "database",
        "Collections of a MongoDB database.",
        MongoDB,
        "mongodb",
        auth=MongoLogin,
        auth_methods=("basic", "none"),
    ),
    ConnectorType(
        "redshift",
        "Amazon Redshift",
        "warehouse",
        "Tables of a cluster or a serverless group.",
        Redshift,
        "redshift",
        auth=RedshiftLogin,
        auth_methods=("basic", "iam_role"),
    ),
    ConnectorType(
        "snowflake",
        "Snowflake",
        "warehouse",
        "Tables of a Snowflake account.",
        Snowflake,
        "snowflake",
        auth=SnowflakeLogin,
        auth_methods=("oauth2", "key_pair", "basic", "token"),
    ),
    ConnectorType(
        "databricks",
        "Databricks",
        "warehouse",
        "Tables, views and queries of a SQL warehouse.",
        Databricks,
        "databricks",
        auth=DatabricksLogin,
        auth_methods=("oauth2", "token"),
    ),
    ConnectorType(
        "bigquery",
        "Google BigQuery",
        "warehouse",
        "Tables, views and queries of BigQuery.",
        BigQuery,
        "bigquery",
        auth=ServiceAccountKey,
        auth_methods=("service_account",),
    ),
)
