"""The connector `kafka_consumer`: topics of Kafka clusters, Confluent Cloud included."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.connectors.connector import Connector, Context, DatasetName, Found
from headrace.connectors.errors import SourceError
from headrace.connectors.kafka.cluster import Cluster
from headrace.connectors.kafka.login import access, brokers
from headrace.connectors.kafka.settings import KafkaSettings, problems
from headrace.connectors.kafka.source import KafkaSource
from headrace.connectors.source import StreamFound

_SHOWN = 10
_CHECK_SECONDS = 8.0


def _check(context: Context) -> Found:
    """Lists the topics as a run does, and inspects the topics in the settings, if any."""
    way = access(context)
    cluster = Cluster(way, seconds=_CHECK_SECONDS)
    topics = cluster.topics()
    encrypted = "TLS" if way.encrypted else "not encrypted"
    message = f"{_count(cluster.brokers, 'broker')}, {encrypted}: {_count(len(topics), 'topic')} can be seen"
    if context.settings:
        stream = _stream(context)
        message += f"; {stream.name} has {_count(len(stream.fields or ()), 'column')}"
    return Found(message, {"topics": sorted(topics)[:_SHOWN]})


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _dataset(context: Context) -> DatasetName:
    """The dataset's name by OpenLineage's rules: kafka://{bootstrap host}:{port}, {topic}."""
    servers, settings = str(context.connection.config.get("bootstrapServers") or ""), context.settings
    try:
        host, port = brokers(servers)[0]
    except SourceError:  # a record with an invalid address has a name, too
        host, port = servers.partition(",")[0] or context.connection.id, 9092
    name = settings.get("topic") or settings.get("topicPattern") or ",".join(settings.get("topics") or ())
    return DatasetName(f"kafka://{host}:{port}", str(name))


def _streams(context: Context, text: str) -> Sequence[StreamFound]:
    topics = Cluster(access(context)).topics()
    return [StreamFound(name, {"topic": name}, "topic") for name in topics if text.lower() in name.lower()]


def _stream(context: Context) -> StreamFound:
    source = KafkaSource(context)
    try:
        return source.found()
    finally:
        source.close()


KAFKA = Connector(
    "kafka_consumer",
    ("kafka", "confluent_kafka"),
    check=_check,
    open=KafkaSource,
    settings=KafkaSettings,
    problems=problems,
    dataset=_dataset,
    streams=_streams,
    stream=_stream,
    stream_setting="topic",
    continues=lambda _: True,
    extra="kafka",
)
