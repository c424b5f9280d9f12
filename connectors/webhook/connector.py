"""The connector `webhook`: what other systems send to `POST /hooks/{id}`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC

from headrace.connectors.connector import Connector, Context, DatasetName, Found
from headrace.connectors.errors import SourceError
from headrace.connectors.source import StreamFound
from headrace.connectors.webhook.settings import WebhookSettings, problems
from headrace.connectors.webhook.source import WebhookSource, database_errors, spool_of

_STREAM = "records"


def _check(context: Context) -> Found:
    """Says what waits; nothing is connected to."""
    if not context.connection.id:
        return Found("The config is valid: create the connector to get its URL", {})
    spool = spool_of(context)
    with database_errors():
        state = spool.state()
        spool.close()
    if state is None:
        raise SourceError("unknown_connector", "There is no such webhook.", "")
    waiting = state.last - state.freed
    message = f"{waiting:,} record{'' if waiting == 1 else 's'} ({state.size:,} bytes) waiting"
    if state.last_received_at is not None:
        message += (
            f", the last of {state.last:,} received at {state.last_received_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        )
    return Found(message, {"waiting": waiting, "bytes": state.size, "received": state.last})


def _dataset(context: Context) -> DatasetName:
    return DatasetName("headrace://webhook", context.connection.id)


def _streams(context: Context, text: str) -> Sequence[StreamFound]:
    if text.lower() not in _STREAM:
        return []
    spool = spool_of(context)
    with database_errors():
        state = spool.state()
        spool.close()
    return [StreamFound(_STREAM, {}, "stream", rows=None if state is None else state.last - state.freed)]


def _stream(context: Context) -> StreamFound:
    source = WebhookSource(context)
    try:
        seen = source.discover(max_partitions=1)
        return StreamFound(_STREAM, dict(context.settings), "stream", seen.schema, guessed=seen.guessed)
    finally:
        source.close()


WEBHOOK = Connector(
    "webhook",
    ("webhook",),
    check=_check,
    open=WebhookSource,
    settings=WebhookSettings,
    problems=problems,
    dataset=_dataset,
    streams=_streams,
    stream=_stream,
    continues=lambda _: True,
)
