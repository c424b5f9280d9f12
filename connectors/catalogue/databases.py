"""Connector types that are databases and warehouses."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, SecretStr, model_validator

from connectors.catalogue.base import Address, ClosedConfig, Config, ConnectorType, Port, Text, one_of
from ir.problems import fault


class Database(Config):
    host: Address
    port: Port
    database: Text


class PostgreSQL(Database):
    sslmode: Annotated[
        Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"],
        Field(alias="sslmode", json_schema_extra={"x-address": True}),
    ] = "prefer"


class Login(ClosedConfig):
    username: Text
    password: Annotated[SecretStr, Field(json_schema_extra={"writeOnly": True})] = SecretStr("")


class Snowflake(Config):
    account: Address
    warehouse: Text
    database: Text


class Databricks(Config):
    host: Address
    http_path: Text


class BigQuery(Config):
    project: Text
    dataset: Text


class MongoDB(Config):
    model_config = ConfigDict(json_schema_extra=one_of("host", "connectionString"))

    host: Address | None = None
    connection_string: Address | None = None

    @model_validator(mode="after")
    def _somewhere(self) -> MongoDB:
        if self.host is None and self.connection_string is None:
            raise fault("missing_field", "'host' or 'connectionString' is required", "add one of the two")
        return self


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
        Database,
        "mysql",
        auth_methods=("basic",),
    ),
    ConnectorType(
        "mongodb",
        "MongoDB",
        "database",
        "Collections of a MongoDB database.",
        MongoDB,
        "mongodb",
        auth_methods=("basic",),
    ),
    ConnectorType(
        "redshift",
        "Amazon Redshift",
        "warehouse",
        "Tables of a cluster or a serverless group.",
        Database,
        "redshift",
        auth_methods=("basic", "iam_role"),
    ),
    ConnectorType(
        "snowflake",
        "Snowflake",
        "warehouse",
        "Tables of a Snowflake account.",
        Snowflake,
        "snowflake",
        auth_methods=("oauth2", "key_pair", "basic"),
    ),
    ConnectorType(
        "databricks",
        "Databricks",
        "warehouse",
        "Tables of a Unity Catalog.",
        Databricks,
        "databricks",
        auth_methods=("oauth2", "token"),
    ),
    ConnectorType(
        "bigquery",
        "Google BigQuery",
        "warehouse",
        "Tables of a dataset.",
        BigQuery,
        "bigquery",
        auth_methods=("service_account",),
    ),
)
