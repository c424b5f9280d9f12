"""Connector types that are streams, applications and plain HTTP."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue, SecretStr, StringConstraints, model_validator

from headrace.connectors.specs.base import HARMLESS, ClosedConfig, Config, ConnectorType, Text, Url
from headrace.connectors.specs.databases import Secret
from headrace.connectors.specs.webhook import Webhook, WebhookLogin, webhook_auth_problems
from headrace.ir.problems import fault, nearest
from headrace.ir.yaml_connectors import Reference

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class Kafka(Config):
    model_config = ConfigDict(use_attribute_docstrings=True)

    bootstrap_servers: Text
    """The bootstrap brokers: `host:port,host:port`."""
    security_protocol: SecurityProtocol | None = None
    """Default: with TLS, and SASL where there is a user; `confluent_kafka` always has both. Without TLS only within the
    operator's networks."""
    sasl_mechanism: SaslMechanism = "PLAIN"
    ssl_root_cert: Annotated[str, Field(max_length=100_000)] | None = None
    """The CA certificate of the brokers, as PEM text; by default the system's CAs."""
    schema_registry_url: Url | None = None


class KafkaLogin(ClosedConfig):
    model_config = ConfigDict(use_attribute_docstrings=True)

    username: Text | None = None
    """The SASL user; for Confluent Cloud an API key, with its secret as the password."""
    password: Secret | None = None
    ssl_cert: Secret | None = None
    """A client certificate, as PEM text."""
    ssl_key: Secret | None = None
    """Its key, as PEM text, not encrypted."""
    registry_username: Text | None = None
    registry_password: Secret | None = None
    """The user of the schema registry."""


class Kinesis(Config):
    model_config = ConfigDict(use_attribute_docstrings=True)

    stream_name: Text
    """The stream that is read unless a source node names another."""
    region: Text
    endpoint: Url | None = None
    """A server with the API of Kinesis, such as an emulator or a VPC endpoint. Default: Amazon's own."""
    sts_endpoint: Url | None = None
    """Where a role is taken on. Default: Amazon's own, in the region."""


class KinesisLogin(Config):
    model_config = ConfigDict(use_attribute_docstrings=True)

    access_key_id: Text | None = None
    secret_access_key: Secret | None = None
    session_token: Secret | None = None
    """For temporary keys."""
    role_arn: Text | None = None
    """A role to take on with the key: `arn:aws:iam::123456789012:role/reader`."""
    external_id: Secret | None = None
    """What the role's trust policy asks for, if it does."""


_HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]
_Secret = Annotated[SecretStr, Field(json_schema_extra={"writeOnly": True})]


_VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
_VariableValue = Annotated[str, StringConstraints(max_length=2000)]


class SessionLogin(ClosedConfig):
    """The login request of `session`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    format: Literal["json", "form", "basic"] = "json"
    """How the user name and the password are sent: in a JSON or form body, or as basic authentication."""
    username_key: Text = "username"
    """The key of the user name in the body."""
    password_key: Text = "password"  # noqa: S105
    """The key of the password in the body."""
    body: dict[str, str | int | bool] = {}
    """Other values of the body."""
    token: Text = "token"  # noqa: S105
    """The path of the token in the response: `session.id`; `header:X-Token` for a response header."""
    valid_minutes: float | None = Field(default=None, gt=0, le=525_600)
    """How long a token is valid; without it, until a request is answered by 401."""


class RestAuth(ClosedConfig):
    model_config = ConfigDict(use_attribute_docstrings=True)

    type: Literal["none", "api_key", "bearer", "basic", "oauth2", "jwt_bearer", "session"] = "none"
    """The authentication of requests. `session`: a user name and a password are sent to `loginUrl`, which gives a
    token."""
    header: _HeaderName | None = None
    """The header of an API key; `X-Api-Key` by default."""
    query: Text | None = None
    """The query parameter of an API key, instead of a header."""
    prefix: Annotated[str, StringConstraints(max_length=50)] | None = None
    """The prefix of the key or token in its header; `Bearer ` for tokens by default."""
    oauth_url: Url | None = None
    """The token URL of OAuth 2.0."""
    scopes: list[Text] = []
    """The requested scopes."""
    audience: Text | None = None
    """The requested audience."""
    client: Literal["header", "body"] = "body"
    """How clientId and clientSecret are sent."""
    username: Text | None = None
    """The user name of `basic`, where the API only looks at the password."""
    login_url: Url | None = None
    """The URL of a login request (POST), for `session`."""
    login: SessionLogin | None = None
    """How a login request is made, for `session`."""


class RestApi(Config):
    model_config = ConfigDict(use_attribute_docstrings=True)

    url: Url
    """The base URL: `https://api.example.com/v2`."""
    auth: RestAuth | None = None
    """The authentication of requests; by default chosen by the credentials."""
    requests_per_second: float | None = Field(default=None, gt=0, le=10_000, json_schema_extra=HARMLESS)
    """The most requests per second of a run's process."""
    max_wait_seconds: float = Field(default=900, ge=0, le=86_400, json_schema_extra=HARMLESS)
    """The longest total wait of a request, in seconds, when the API asks to wait or does not respond."""
    max_page_bytes: int = Field(default=64 << 20, ge=1024, le=1 << 30, json_schema_extra=HARMLESS)
    """The largest response in bytes, decompressed."""
    max_file_bytes: int = Field(default=8 << 30, ge=1024, le=1 << 42, json_schema_extra=HARMLESS)
    """The largest file that a job gives, in bytes."""
    insecure_login: bool = False
    """Send the credentials over http too, in a trusted network."""
    endpoints: dict[Text, dict[str, JsonValue]] = Field(default={}, json_schema_extra=HARMLESS)
    """The endpoints that discovery lists: settings of source nodes by name, such as
    `{"orders": {"path": "/orders"}}`."""
    test: dict[str, JsonValue] = Field(default={}, json_schema_extra=HARMLESS)
    """The endpoint that a connection test requests: settings of a source node. By default the first of `endpoints`, or
    the base URL."""

    document: Reference | None = Field(default=None, json_schema_extra=HARMLESS)
    """A connector document whose endpoints are read, instead of `endpoints`: `github` for the live version, or
    `github@3`. Its address and authentication must be those of this config."""
    variables: dict[_VariableName, _VariableValue] = Field(default={}, json_schema_extra=HARMLESS)
    """The values of the document's variables."""

    @model_validator(mode="after")
    def _readable(self) -> RestApi:
        from headrace.connectors.http.settings import problems  # imported here because it imports this module's base

        if self.document is None and self.variables:
            raise fault("bad_option", "'variables' are those of a 'document'", "add 'document', or remove them")
        if self.document is not None:
            if self.endpoints:
                raise fault("bad_option", "the endpoints are those of the 'document'", "remove 'endpoints'")
            return self  # `test` may name one of the document's endpoints

        for name, settings in [*self.endpoints.items(), *([("test", self.test)] if self.test else [])]:
            for found in problems(settings):
                where = f"'{name}'{found.path.removeprefix('config')}"
                raise fault("bad_option", f"{where}: {found.message}", found.hint)
        named = self.test.get("endpoint")
        if named is not None and named not in self.endpoints:
            raise fault("bad_option", f"'test' names no endpoint '{named}'", nearest(named, self.endpoints))
        return self


class RestLogin(Config):
    model_config = ConfigDict(use_attribute_docstrings=True)

    token: _Secret | None = None
    """A bearer token."""
    api_key: _Secret | None = None
    """An API key."""
    username: Text | None = None
    password: _Secret | None = None
    client_id: Text | None = None
    client_secret: _Secret | None = None
    refresh_token: _Secret | None = None
    """For OAuth 2.0 with a refresh token instead of the client's own credentials."""
    private_key: _Secret | None = None
    """The key, as PEM text, that signs for `jwt_bearer`."""


SERVICES = (
    ConnectorType(
        "kafka",
        "Apache Kafka",
        "stream",
        "Topics of a Kafka cluster.",
        Kafka,
        "kafka_consumer",
        auth=KafkaLogin,
        auth_methods=("access_key", "none", "basic", "key_pair"),
    ),
    ConnectorType(
        "confluent_kafka",
        "Confluent Cloud",
        "stream",
        "Topics of a Confluent cluster.",
        Kafka,
        "kafka_consumer",
        auth=KafkaLogin,
        auth_methods=("access_key", "basic"),
    ),
    ConnectorType(
        "amazon_kinesis",
        "Amazon Kinesis",
        "stream",
        "Records of a data stream.",
        Kinesis,
        "kinesis_consumer",
        auth=KinesisLogin,
        auth_methods=("access_key", "iam_role"),
    ),
    ConnectorType(
        "rest_api",
        "REST API",
        "web",
        "Rows of an HTTP API, page by page.",
        RestApi,
        "rest_api",
        auth=RestLogin,
        auth_methods=("none", "token", "basic", "oauth2", "key_pair"),
    ),
    ConnectorType(
        "webhook",
        "Webhook",
        "web",
        "Rows that another system sends.",
        Webhook,
        "webhook",
        auth=WebhookLogin,
        auth_methods=("access_key", "token"),
        auth_problems=webhook_auth_problems,
    ),
)
