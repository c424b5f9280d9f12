"""Changes of load mode that a version of an IR would bring when it goes live, in the warehouse and elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import anyio.from_thread
import psycopg

from headrace.api.connectors.service import credentials_of, resolve_blocks
from headrace.api.context import RequestContext
from headrace.api.errors import ApiError
from headrace.api.subprocesses import jobs
from headrace.catalog.models import Connector, Pipeline
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.repositories.connectors import chosen
from headrace.catalog.repositories.usage import PipelineUsage
from headrace.connectors.connector import Connection
from headrace.connectors.errors import SourceError, TargetError
from headrace.connectors.postgresql.connections import Database
from headrace.connectors.postgresql.error_messages import error_message
from headrace.connectors.postgresql.named_database import named_database
from headrace.flows.validation.mode_switch import (
    ModeChange,
    ModeSwitch,
    mode_changes,
    mode_switch,
    unknown_effects,
)
from headrace.ir import PipelineIR, Problem, parse_ir
from headrace.ir.nodes import TargetNode
from headrace.ir.secrets import connection_credentials

_GRACE_S = 3.0
"""Extra time for the child to report the time-out of its connection itself."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """The changes in the tables of one database; the warehouse has no record."""

    record: Connector | None
    changes: list[ModeChange]


def guard_mode_switches(context: RequestContext, pipeline_id: str, document: dict[str, Any], *, confirm: bool) -> None:
    """Raises ApiError 400 for a load mode that a table does not allow, and without `confirm` for a change that could
    lose or double rows. Ignores a `document` that does not parse, and a pipeline that does not exist: they are refused
    elsewhere. Waits for other databases, so it must not be called within a transaction."""
    after = parse_ir(document).ir
    if after is None:
        return
    found = compare_load_modes(context, pipeline_id, after)
    if found.refused:
        raise ApiError(400, "The table does not allow the load mode", details=found.refused)
    if found.losses and not confirm:
        raise ApiError(400, "The change of the load mode must be confirmed", details=found.losses)


def compare_load_modes(context: RequestContext, pipeline_id: str, after: PipelineIR) -> ModeSwitch:
    """The effects of an IR's load modes on its tables, compared with the live version."""
    with context.reading() as catalog:
        pipeline = catalog.pipelines.get(pipeline_id)
        asked = list(_changes(catalog, pipeline, after)) if pipeline is not None else []
    found = ModeSwitch()
    for each in asked:
        found += _effects(context, pipeline_id, each)
    return found


def _changes(catalog: TenantCatalog, pipeline: Pipeline, after: PipelineIR) -> Iterator[_Asked]:
    live = catalog.pipelines.ir_version(pipeline)
    before = parse_ir(live.ir).ir if live is not None else None
    usage = PipelineUsage(catalog.session, catalog.tenant_id)
    records = catalog.connectors.all() if any(isinstance(each, TargetNode) for each in after.nodes) else []

    def record_of(node: TargetNode) -> Connector | None:
        return None if node.connection is None else chosen(node.connection, records)

    def database_of(node: TargetNode) -> str | None:
        record = record_of(node)
        return node.connection if record is None else record.id

    def loaded_by(node: TargetNode) -> list[str]:
        record = record_of(node)
        elsewhere = None if record is None else (record.id, record.name)
        return usage.loading(node.table, besides=pipeline.id, elsewhere=elsewhere)

    by_record: dict[str, _Asked] = {}
    for change in mode_changes(before, after, database_of, loaded_by):
        record = record_of(change.node)
        if record is None and change.node.connection is not None:
            continue  # it does not exist: refused by another check
        by_record.setdefault("" if record is None else record.id, _Asked(record, [])).changes.append(change)
    yield from by_record.values()


def _effects(context: RequestContext, pipeline_id: str, asked: _Asked) -> ModeSwitch:
    if asked.record is None:
        try:
            return mode_switch(context.services.settings.database_url, asked.changes, pipeline_id)
        except psycopg.OperationalError:
            return ModeSwitch()  # the catalog is there too: the request fails by itself
    try:
        return _effects_elsewhere(context, _database(context, asked.record), asked.changes, pipeline_id)
    except (SourceError, TargetError) as error:
        return unknown_effects(asked.changes, error.message.rstrip("."))
    except psycopg.Error as error:
        return unknown_effects(asked.changes, error_message(error).rstrip("."))
    except ApiError as error:
        if error.status_code != 422:  # it may be tried again
            raise
        return unknown_effects(asked.changes, str(error.detail).rstrip("."))


def _database(context: RequestContext, record: Connector) -> Database:
    credentials = connection_credentials(resolve_blocks(context, credentials_of(context, record)))
    connection = Connection(record.id, record.type, record.config, credentials)
    return named_database(connection, context.services.settings.connector_networks)


def _effects_elsewhere(
    context: RequestContext, database: Database, changes: list[ModeChange], pipeline_id: str
) -> ModeSwitch:
    """Asks in a child process, from a thread of the server: the database belongs to others."""
    seconds = context.services.settings.connector_test_timeout_s + _GRACE_S
    run = partial(
        context.services.subprocesses.run, None, context.principal.tenant_id, "question to the target's database"
    )
    answer = json.loads(anyio.from_thread.run(run, seconds, jobs.compare_modes, database, changes, pipeline_id))
    return ModeSwitch(*(tuple(Problem(**each) for each in answer[name]) for name in ("refused", "losses")))
