"""The flow of a replication: it inspects the source, waits for the pipelines of its tables, and runs them."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg
from prefect import State, flow, get_client, get_run_logger
from prefect._internal.control_listener import get_intent
from prefect.artifacts import MarkdownArtifact
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import TerminationSignal
from prefect.states import Cancelled, Completed, Failed
from sqlalchemy.exc import SQLAlchemyError

from headrace.catalog.replications.records import ReplicationRecord, ReplicationRunSnapshot
from headrace.catalog.replications.store import ReplicationMissing, ReplicationRunStore
from headrace.catalog.runs.store import RunStore
from headrace.catalog.security.credentials import CredentialsUnreadable
from headrace.catalog.settings import settings
from headrace.connectors.connector import Connection, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.postgresql.error_messages import error_message
from headrace.flows.prefect.artifacts import artifact_key
from headrace.flows.prefect.block_references import references
from headrace.flows.prefect.blocks import credentials_from
from headrace.flows.prefect.database_retries import retrying_engine, with_database_retries
from headrace.flows.prefect.events import last_event
from headrace.flows.prefect.final_state import FinalState
from headrace.flows.prefect.names import CANCELLED, is_random, run_name
from headrace.flows.prefect.run_recorder import RunLogger
from headrace.flows.prefect.scheduled_runs import CHECKED_BY_WORKER, let_go
from headrace.flows.replication.children import Children
from headrace.flows.replication.discover import discover
from headrace.flows.replication.found import FOUND_TABLES
from headrace.flows.replication.outcome import Outcome, outcome_of, report
from headrace.flows.replication.tables import Tables
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.tenant_files import files_of
from headrace.ir.redaction import redact, secret_texts
from headrace.ir.replication import ReplicationIR, parse_replication
from headrace.ir.secrets import connection_credentials

_EXPLAINED = (SourceError, RunFailed, ReplicationMissing, CredentialsUnreadable)
"""Errors whose text is written for a person: they end a run, and trying again would give the same."""

_LOOK_AGAIN_S = 0.5
_TELL_AGAIN_S = 60.0
_PATIENCE_S = 10.0
_STOPPING_S = 5.0


# Nothing is stored there; without a storage block Prefect would request one from its server.
@flow(name="headrace replication", persist_result=False, result_storage=Path("results"), validate_parameters=True)
async def run_replication(replication_id: str, tenant_id: str, retry_of: str | None = None) -> State[Any]:
    """Runs a replication; `retry_of` is the id of the run whose remaining tables are copied.

    Ends Completed, with the tag `rows-failed` when rows were rejected, or Failed with the reason.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        raise RuntimeError("run_replication runs under Prefect")
    with last_event(context.flow_run):
        return await _run_replication(context.flow_run, replication_id, tenant_id, retry_of)


async def _run_replication(flow_run: FlowRun, replication_id: str, tenant_id: str, retry_of: str | None) -> State[Any]:
    logger = get_run_logger()
    run_id = f"run_{flow_run.id.hex}"
    engine = retrying_engine(settings().for_runs, run_id, logger.warning)
    store = ReplicationRunStore(engine)
    if CHECKED_BY_WORKER not in os.environ:
        message = await let_go(flow_run, lambda: store.snapshot(run_id) is not None)
        if message is not None:
            logger.info("%s", message)
            return Cancelled(message=message)
    conclusion = FinalState(flow_run)
    tables: Tables | None = None
    secrets: list[str] = []
    result: Outcome | None = None
    try:
        record = await with_database_retries(
            _begun, store, run_id, replication_id, tenant_id, retry_of, warn=logger.warning
        )
        await _named(flow_run, record)
        document = _document(record)
        record = await asyncio.to_thread(_with_blocks, record)
        secrets = list(secret_texts(record.connector.credentials))
        await _look(store, run_id, record, document, logger)
        run = await _prepared(store, run_id, logger)
        async with get_client() as client:
            tables = Tables(
                store, RunStore(engine), run_id, Children(client, flow_run, tenant_id, record.name), document, logger
            )
            await tables.copy(run)
        result = outcome_of(await with_database_retries(_snapshot, store, run_id, warn=logger.warning))
        await _report(store, run_id, record, result, logger)
        if result.status != "failed" and not await conclusion.agreed(
            Completed(message=result.message), rows_failed=result.status == "completed_with_errors"
        ):
            return await _cancelled(store, run_id, tables)
    except _EXPLAINED as error:
        reason = redact(str(error), secrets)
        logger.error("%s", reason)
        store.finished(run_id, status="failed", failure_reason=reason)
        return Failed(message=reason)
    except BaseException as error:
        if result is not None and await conclusion.accepted():
            store.finished(run_id, status=result.status, failure_reason=None)
            raise
        reason = redact(_cause(error), secrets)
        if tables is not None:
            await _stop(tables)
        store.finished(run_id, status="failed", failure_reason=reason)
        raise
    failed = result.message if result.status == "failed" else None
    store.finished(run_id, status=result.status, failure_reason=failed)
    (logger.info if failed is None else logger.error)("%s", result.message)
    return Failed(message=failed) if failed is not None else conclusion.state


def _begun(
    store: ReplicationRunStore, run_id: str, replication_id: str, tenant_id: str, retry_of: str | None
) -> ReplicationRecord:
    record = store.load(replication_id, tenant_id)
    store.open(
        run_id,
        replication_id=record.id,
        tenant_id=tenant_id,
        version=record.version,
        retry_of=retry_of,
        begins=True,
    )
    return record


def _document(record: ReplicationRecord) -> ReplicationIR:
    parsed = parse_replication(record.document)
    if parsed.document is None:  # saved by an earlier release that accepted it
        raise RunFailed("; ".join(f"{each.path}: {each.message}" for each in parsed.problems))
    return parsed.document


def _with_blocks(record: ReplicationRecord) -> ReplicationRecord:
    """The record with references to Prefect's blocks replaced. Raises SourceError."""
    if not references(record.connector.credentials):
        return record
    try:
        with get_client(sync_client=True) as client:
            allowed = settings().prefect_blocks.get(record.tenant_id, ())
            opened = credentials_from(client, record.connector.credentials, allowed)
    except httpx.HTTPError as error:
        what = f"Prefect did not return the blocks of the connector's credentials: {type(error).__name__}."
        raise SourceError("blocks_unreachable", what, "Run again when it answers.") from None
    return replace(record, connector=replace(record.connector, credentials=opened))


async def _look(
    store: ReplicationRunStore, run_id: str, record: ReplicationRecord, document: ReplicationIR, logger: RunLogger
) -> None:
    """Looks at the source, unless an earlier start of this run has."""
    run = _snapshot(store, run_id)
    if run.phase != "discovering":
        return
    source, chosen = record.connector, settings()
    connection = Connection(source.id, source.type, source.config, connection_credentials(source.credentials))
    surroundings = Surroundings(
        files_of(chosen, record.tenant_id), chosen.connector_networks, chosen.connector_role_buckets
    )
    found = await asyncio.to_thread(discover, connection, surroundings, document, run.only_tables)
    if not found and run.only_tables is None:
        raise RunFailed(
            f"No table matches {', '.join(document.sources.include[:10])}. Correct sources.include; "
            "`headrace connectors discover` lists the connector's streams."
        )
    logger.info("%d tables found", len(found))
    listed = FOUND_TABLES.dump_python(tuple(found), mode="json", exclude_defaults=True)
    await with_database_retries(store.found, run_id, listed, warn=logger.warning)


async def _prepared(store: ReplicationRunStore, run_id: str, logger: RunLogger) -> ReplicationRunSnapshot:
    """The run once the API has made its pipelines. Raises RunFailed when it could not."""
    waited = 0.0
    while True:
        run = await with_database_retries(_snapshot, store, run_id, warn=logger.warning)
        if run.phase == "loading":
            return run
        if run.phase == "ended":
            raise RunFailed(run.failure_reason or "The run was ended")
        if waited % _TELL_AGAIN_S == _TELL_AGAIN_S - _LOOK_AGAIN_S:
            logger.info("Waits for the API to make the tables' pipelines")
        await asyncio.to_thread(store.touch, run_id)
        await asyncio.sleep(_LOOK_AGAIN_S)
        waited += _LOOK_AGAIN_S


def _snapshot(store: ReplicationRunStore, run_id: str) -> ReplicationRunSnapshot:
    run = store.snapshot(run_id)
    if run is None:
        raise RunFailed("The replication was deleted")
    return run


async def _named(flow_run: FlowRun, record: ReplicationRecord) -> None:
    """Names the run unless a user did."""
    if is_random(flow_run.name):
        at = flow_run.expected_start_time or flow_run.created or datetime.now(UTC)
        with suppress(Exception):  # naming must not fail the run
            async with asyncio.timeout(_PATIENCE_S), get_client() as client:
                await client.set_flow_run_name(flow_run.id, run_name(record.name, at))


async def _report(
    store: ReplicationRunStore, run_id: str, record: ReplicationRecord, result: Outcome, logger: RunLogger
) -> None:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            text = report(await asyncio.to_thread(_snapshot, store, run_id), record.name, result)
            key = artifact_key("report", record.id, record.name)
            await MarkdownArtifact(key=key, markdown=text, description=f"{record.name}: {result.status}").acreate()
    except Exception as error:  # noqa: BLE001 (the rows are loaded: a missing report must not fail the run)
        logger.warning("The run's report could not be stored in Prefect: %r", error)


async def _cancelled(store: ReplicationRunStore, run_id: str, tables: Tables) -> State[Any]:
    await _stop(tables)
    store.finished(run_id, status="failed", failure_reason=CANCELLED)
    return Cancelled(message="Cancelled at the end of the run: what it copied stays.")


async def _stop(tables: Tables) -> None:
    """Asks the tables' runs to end."""
    with suppress(Exception):  # the reason for the stop matters more
        async with asyncio.timeout(_STOPPING_S):
            await tables.stop()


def _cause(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError | TerminationSignal):
        if get_intent() == "cancel":
            return CANCELLED
        return "The run's process got a signal to stop, as when its worker shuts down; a retry copies the other tables"
    if isinstance(error, psycopg.Error | SQLAlchemyError):
        return f"The database failed: {error_message(error)}"
    return f"{type(error).__name__}: {error}"
