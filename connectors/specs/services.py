"""Connector types that are streams, applications and plain HTTP."""

from __future__ import annotations

from pydantic import ConfigDict, model_validator

from headrace.connectors.specs.base import Config, ConnectorType, Text, Url, one_of
from headrace.ir.problems import fault


class Kafka(Config):
    bootstrap_servers: Text


class Kinesis(Config):
    stream_name: Text
    region: Text


class HttpEndpoint(Config):
    url: Url


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
    ConnectorType("kafka", "Apache Kafka", "stream", "Topics of a Kafka cluster.", Kafka, "kafka_consumer"),
    ConnectorType(
        "confluent_kafka", "Confluent Cloud", "stream", "Topics of a Confluent cluster.", Kafka, "kafka_consumer"
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
        HttpEndpoint,
        "rest_api",
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
