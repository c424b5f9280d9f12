"""The plan of a replication: its source is inspected in a child process, the catalog's part is read here."""

from __future__ import annotations

from collections import Counter
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from headrace.api.connectors.connections import opened_connection, source_error, surroundings_of
from headrace.api.connectors.service import credentials_of
from headrace.api.context import RequestContext
from headrace.api.errors import Detail
from headrace.api.replications.checks import checked
from headrace.api.replications.schemas import ColumnChangeItem, PlannedTable, PlanReplication, ReplicationPlan
from headrace.api.replications.service import owned_replication
from headrace.api.subprocesses import jobs
from headrace.connectors.connector import Connection
from headrace.connectors.errors import SourceError
from headrace.connectors.registry import of_type
from headrace.flows.replication.ddl import statements
from headrace.flows.replication.expand import Expansion
from headrace.flows.replication.found import FOUND_TABLES, FoundTable
from headrace.flows.replication.known import known
from headrace.flows.replication.table_plan import KnownTable, TablePlan
from headrace.ir.replication import ReplicationIR


async def plan(
    context: RequestContext, request: Request, replication_id: str, body: PlanReplication
) -> ReplicationPlan:
    """The plan of a run. Raises ApiError: 404, 400 for an invalid document, 422 with the reason if the source cannot be
    inspected."""
    stored, document = await run_in_threadpool(_stored, context, replication_id, body.document)
    secrets: list[str] = []
    try:
        connection, secrets = await run_in_threadpool(opened_connection, context, stored)
        found = FOUND_TABLES.validate_json(
            await context.services.subprocesses.run(
                request,
                context.principal.tenant_id,
                "plan",
                context.services.settings.preview_timeout_s,
                jobs.discover_tables,
                connection,
                surroundings_of(context, connection),
                document,
            )
        )
    except SourceError as error:
        raise source_error(error, secrets) from error
    return await run_in_threadpool(_planned, context, replication_id, document, stored.type, found)


def _stored(
    context: RequestContext, replication_id: str, another: dict[str, Any] | None
) -> tuple[Connection, ReplicationIR]:
    with context.catalog() as catalog:
        replication = owned_replication(catalog, replication_id)
        document, connector = checked(catalog, replication.document if another is None else another)
        connection = Connection(connector.id, connector.type, connector.config, credentials_of(context, connector))
    return connection, document


def _planned(
    context: RequestContext,
    replication_id: str,
    document: ReplicationIR,
    connector_type: str,
    found: tuple[FoundTable, ...],
) -> ReplicationPlan:
    connector = of_type(connector_type)
    assert connector is not None, "it was looked at"
    with context.catalog() as catalog:
        replication = owned_replication(catalog, replication_id)
        now = known(catalog, replication, document, found)
        plans = Expansion(document, connector, catalog.tenant_id, now).plans(found)
    totals = Counter[str](each.change for each in plans)
    totals["refused"] = sum(bool(each.problems) for each in plans)
    shown = [_table(each, now.tables.get(each.name)) for each in plans]
    return ReplicationPlan(totals=dict(sorted(totals.items())), tables=shown)


def _table(plan: TablePlan, before: KnownTable | None) -> PlannedTable:
    return PlannedTable(
        name=plan.name,
        kind=plan.kind,
        change=plan.change,
        rows=plan.rows,
        target=plan.table or None,
        load_mode=plan.load_mode,
        key=list(plan.key),
        cursor=plan.cursor,
        columns=[
            ColumnChangeItem(name=each.name, before=each.before, after=each.after) for each in plan.column_changes
        ],
        ddl=statements(plan),
        notes=list(plan.notes),
        problems=[Detail.model_validate(each.as_dict()) for each in plan.problems],
        pipeline_id=before.pipeline_id if before is not None else None,
        document=None if plan.document is None else dict(plan.document),
    )
