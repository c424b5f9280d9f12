"""The connector `kinesis_consumer`: data streams of Amazon Kinesis."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.connectors.connector import Connector, Context, DatasetName, Found
from headrace.connectors.errors import SourceError
from headrace.connectors.kinesis.login import access
from headrace.connectors.kinesis.service import Service
from headrace.connectors.kinesis.settings import KinesisSettings, problems
from headrace.connectors.kinesis.source import KinesisSource
from headrace.connectors.source import StreamFound

_CHECK_SECONDS = 3.0
_LISTED = 1_000
_COUNTED = 50
"""Streams of a list whose shards are counted: a question each."""


def _check(context: Context) -> Found:
    """Asks for the stream as a run would; looks at the settings' stream and its records, if there are any."""
    way = access(context)
    service = Service(way, patience=_CHECK_SECONDS)
    name = str(context.settings.get("streamName") or way.place.stream_name)
    try:
        seen, shards = service.summary(name), service.shards(name)
        if shards:
            # The right to read is another than that to look.
            service.iterator(name, shards[-1].id, {"ShardIteratorType": "LATEST"})
    finally:
        service.close()
    still_open = sum(not each.closed for each in shards)
    encrypted = "TLS" if way.encrypted else "not encrypted"
    message = f"{name}, {encrypted}: {_count(still_open, 'open shard')}, records are kept for {seen.hours:,} hours"
    if context.settings:
        message += f"; {_count(len(_stream(context).fields or ()), 'column')}"
    return Found(message, {"stream": name, "shards": [each.id for each in shards[:_COUNTED]]})


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _dataset(context: Context) -> DatasetName:
    """OpenLineage has no rule for Kinesis; as for other services of AWS: kinesis://{region}, {stream}."""
    config = context.connection.config
    name = context.settings.get("streamName") or config.get("streamName")
    return DatasetName(f"kinesis://{config.get('region') or context.connection.id}", str(name))


def _streams(context: Context, text: str) -> Sequence[StreamFound]:
    """The streams, the first of them with how many shards they have."""
    service = Service(access(context), patience=_CHECK_SECONDS)
    try:
        names = [name for name in service.streams(_LISTED) if text.lower() in name.lower()]
        said = [_shards(service, name) for name in names[:_COUNTED]] + [""] * (len(names) - _COUNTED)
    finally:
        service.close()
    return [
        StreamFound(name, {"streamName": name}, "stream", comment=comment)
        for name, comment in zip(names, said, strict=True)
    ]


def _shards(service: Service, name: str) -> str:
    try:
        found = service.summary(name).open_shards
    except SourceError:  # the right to list is another than that to look
        return ""
    return "" if found is None else _count(found, "open shard")


def _stream(context: Context) -> StreamFound:
    source = KinesisSource(context, patience=_CHECK_SECONDS)
    try:
        return source.found()
    finally:
        source.close()


KINESIS = Connector(
    "kinesis_consumer",
    ("amazon_kinesis",),
    check=_check,
    open=KinesisSource,
    settings=KinesisSettings,
    problems=problems,
    dataset=_dataset,
    streams=_streams,
    stream=_stream,
    stream_setting="streamName",
    continues=lambda _: True,
    extra="kinesis",
)
