"""Discovery: the tables, files or topics of a connector, and the columns of one of them.

It runs in a child process, like connection tests: with the same networks, login and limits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from headrace.api.connectors.connections import (
    opened_connection,
    refuse_unreadable,
    source_error,
    stored_connection,
    surroundings_of,
)
from headrace.api.connectors.stream_schemas import StreamItem, StreamRows
from headrace.api.context import RequestContext
from headrace.api.pagination import PageOf, Pagination, bad_cursor, decode_cursor, encode_cursor
from headrace.api.subprocesses import jobs
from headrace.catalog.found_columns import Seen, nodes_reading, remember, source_key
from headrace.connectors.errors import SourceError
from headrace.ir.schema import Field

_GRACE_S = 3.0
"""Extra time for the child to report the time-out itself."""


async def list_streams(
    context: RequestContext, request: Request, connector_id: str, text: str, limit: int, cursor: str | None
) -> PageOf[StreamItem]:
    """A page of what the connection can be read for, by name. Raises ApiError: 404, 422 with the reason when the
    connection does not work or has no list."""
    after = None if cursor is None else _name_in(cursor)
    seconds = context.services.settings.connector_test_timeout_s
    found = await _found(
        context, request, connector_id, seconds + _GRACE_S, jobs.list_streams, text, after, limit, seconds
    )
    items = [StreamItem.model_validate(each) for each in found["items"]]
    more = len(items) > limit
    position = encode_cursor([items[limit - 1].name]) if more else None
    pagination = Pagination(total=found["total"], has_more=more, limit=limit, cursor=position)
    return PageOf(data=items[:limit], pagination=pagination)


async def get_stream(
    context: RequestContext,
    request: Request,
    connector_id: str,
    name: str,
    more: Mapping[str, Any] | None = None,
) -> StreamItem:
    """One of them with its columns, read with `more` settings if there are some. Raises as `list_streams`, and ApiError
    404 for an unknown name."""
    seconds = context.services.settings.preview_timeout_s
    answer = await _found(context, request, connector_id, seconds, jobs.describe_stream, name, more)
    found = StreamItem.model_validate(answer)
    await run_in_threadpool(_remember, context, connector_id, found)
    return found


async def sample_rows(
    context: RequestContext, request: Request, connector_id: str, name: str, limit: int
) -> StreamRows:
    """Its first rows. Raises as `get_stream`."""
    seconds = context.services.settings.preview_timeout_s
    answer = await _found(context, request, connector_id, seconds, jobs.sample_stream, name, limit)
    return StreamRows.model_validate(answer)


def _remember(context: RequestContext, connector_id: str, found: StreamItem) -> None:
    """Notes the columns for the source nodes that read this, so that documents can be checked with them."""
    columns = tuple(Field(each.name, each.data_type, each.precision, each.scale) for each in found.fields or ())
    configs = [found.settings, *([found.settings | {"format": found.format}] if found.format else [])]
    with context.catalog() as catalog:
        connector = catalog.connectors.get(connector_id)
        if connector is None or not columns:
            return
        guessed = frozenset(found.guessed)
        named = (connector.id, connector.name)
        for pipeline_id, node in nodes_reading(catalog.session, catalog.tenant_id, named, configs):
            seen = Seen(str(node["id"]), source_key(node, connector), columns, guessed)
            remember(catalog.session, pipeline_id, [seen], "discover")


async def _found(
    context: RequestContext,
    request: Request,
    connector_id: str,
    seconds: float,
    work: Callable[..., bytes],
    *arguments: Any,
) -> Any:
    stored = await run_in_threadpool(stored_connection, context, connector_id)
    refuse_unreadable(stored)
    secrets: list[str] = []
    try:
        connection, secrets = await run_in_threadpool(opened_connection, context, stored)
        tenant, surroundings = context.principal.tenant_id, surroundings_of(context, connection)
        # no transaction is open while the other server responds
        return json.loads(
            await context.services.subprocesses.run(
                request, tenant, "discovery", seconds, work, connection, surroundings, *arguments
            )
        )
    except SourceError as error:
        raise source_error(error, secrets) from error


def _name_in(cursor: str) -> str:
    match decode_cursor(cursor):
        case [str(name)]:
            return name
    raise bad_cursor()
