"""Connector types that are streams, applications and plain HTTP."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue, SecretStr, StringConstraints, model_validator

from headrace.connectors.specs.base import HARMLESS, ClosedConfig, Config, ConnectorType, Text, Url, one_of
from headrace.connectors.specs.databases import Secret
from headrace.ir.problems import fault, nearest

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class Kafka(Config):
    model_config = ConfigDict(use_attribute_docstrings=True)

    bootstrap_servers: Text
    """Brokers to ask for the others: `host:port,host:port`."""
    security_protocol: SecurityProtocol | None = None
    """Default: with TLS, and SASL where there is a user; `confluent_kafka` always has both. Without TLS only within the
    operator's networks."""
    sasl_mechanism: SaslMechanism = "PLAIN"
    ssl_root_cert: Annotated[str, Field(max_length=100_000)] | None = None
    """The authority that signed the brokers' certificates, as PEM text; the system's own without it."""
    schema_registry_url: Url | None = None


class KafkaLogin(ClosedConfig):
    model_config = ConfigDict(use_attribute_docstrings=True)

    username: Text | None = None
    """Of SASL; for Confluent Cloud an API key, with its secret as the password."""
    password: Secret | None = None
    ssl_cert: Secret | None = None
    """A client certificate, as PEM text."""
    ssl_key: Secret | None = None
    """Its key, as PEM text, not encrypted."""
    registry_username: Text | None = None
    registry_password: Secret | None = None
    """Of the schema registry."""


class Kinesis(Config):
    stream_name: Text
    region: Text


class HttpEndpoint(Config):
    url: Url


_HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]
_Secret = Annotated[SecretStr, Field(json_schema_extra={"writeOnly": True})]


class RestAuth(ClosedConfig):
    model_config = ConfigDict(use_attribute_docstrings=True)

    type: Literal["none", "api_key", "bearer", "basic", "oauth2"] = "none"
    """How a request says who asks."""
    header: _HeaderName | None = None
    """The header of an API key; `X-Api-Key` without it."""
    query: Text | None = None
    """The parameter of the query that an API key is sent in instead."""
    prefix: Annotated[str, StringConstraints(max_length=50)] | None = None
    """The prefix of the key or token in its header; `Bearer ` for tokens without it."""
    oauth_url: Url | None = None
    """Where OAuth 2.0 tokens are fetched."""
    scopes: list[Text] = []
    """The scopes that are asked for."""
    audience: Text | None = None
    """The audience that is asked for."""
    client: Literal["header", "body"] = "body"
    """Where clientId and clientSecret are sent."""


class RestApi(Config):
    model_config = ConfigDict(use_attribute_docstrings=True)

    url: Url
    """The address before every path: `https://api.example.com/v2`."""
    auth: RestAuth | None = None
    """How requests say who asks; found from the credentials without it."""
    requests_per_second: float | None = Field(default=None, gt=0, le=10_000, json_schema_extra=HARMLESS)
    """How fast a process of a run may ask at most."""
    max_wait_seconds: float = Field(default=900, ge=0, le=86_400, json_schema_extra=HARMLESS)
    """How long a request waits at most, in all, when the API asks to wait or does not answer."""
    max_page_bytes: int = Field(default=64 << 20, ge=1024, le=1 << 30, json_schema_extra=HARMLESS)
    """The largest answer, unpacked."""
    insecure_login: bool = False
    """Send the login over http too, in a trusted network."""
    endpoints: dict[Text, dict[str, JsonValue]] = Field(default={}, json_schema_extra=HARMLESS)
    """What discovery lists: settings of source nodes by name, such as `{"orders": {"path": "/orders"}}`."""
    test: dict[str, JsonValue] = Field(default={}, json_schema_extra=HARMLESS)
    """What a connection test asks for: settings of a source node. The first of `endpoints`, or the address itself,
    without it."""

    @model_validator(mode="after")
    def _readable(self) -> RestApi:
        from headrace.connectors.http.settings import problems  # which is about sources, and knows this module's base

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


class Crm(Config):
    model_config = ConfigDict(json_schema_extra=one_of("instanceUrl", "apiKey"))

    instance_url: Url | None = None
    api_key: Text | None = None

    @model_validator(mode="after")
    def _somehow(self) -> Crm:
        if self.instance_url is None and self.api_key is None:
            raise fault("missing_field", "'instanceUrl' or 'apiKey' is required", "add one of the two")
        return self


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
        auth_methods=("access_key", "iam_role"),
    ),
    ConnectorType(
        "salesforce",
        "Salesforce",
        "crm",
        "Objects of a Salesforce organisation.",
        Crm,
        "salesforce",
        auth_methods=("oauth2", "token"),
    ),
    ConnectorType(
        "hubspot", "HubSpot", "crm", "Objects of a HubSpot portal.", Crm, "hubspot", auth_methods=("oauth2", "token")
    ),
    ConnectorType("braze", "Braze", "marketing", "Users and events of a Braze workspace.", Config, "braze"),
    ConnectorType("mailchimp", "Mailchimp", "marketing", "Audiences of a Mailchimp account.", Config, "mailchimp"),
    ConnectorType("segment", "Segment", "marketing", "Events of a Segment workspace.", Config, "segment"),
    ConnectorType("shopify", "Shopify", "commerce", "Orders and customers of a shop.", Config, "shopify"),
    ConnectorType("stripe", "Stripe", "commerce", "Payments of a Stripe account.", Config, "stripe"),
    ConnectorType(
        "rest_api",
        "REST API",
        "web",
        "Rows of an HTTP API, page by page.",
        RestApi,
        "rest_api",
        auth=RestLogin,
        auth_methods=("none", "token", "basic", "oauth2"),
    ),
    ConnectorType(
        "webhook",
        "Webhook",
        "web",
        "Rows that another system sends.",
        HttpEndpoint,
        "webhook",
        auth_methods=("access_key", "token"),
    ),
)
