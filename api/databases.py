"""Queries of the databases of a pipeline's targets.

The warehouse is queried here. The databases of connectors belong to others: they are queried in child processes, like
connection tests, so that a server that does not respond, or never stops sending, blocks nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import anyio.from_thread

from headrace.api.connectors.service import resolve_blocks
from headrace.api.context import RequestContext
from headrace.api.subprocesses import jobs
from headrace.catalog.runs.records import ConnectorRecord, RunPipeline
from headrace.connectors.errors import SourceError, TargetError
from headrace.connectors.postgresql import questions
from headrace.connectors.postgresql.connections import Database
from headrace.flows.resume.ledgers import Ledgers, Versions
from headrace.flows.runtime.databases import TargetDatabases, databases_of, target_databases

_GRACE_S = 3.0
"""Extra time for the child to report the time-out of its connection itself."""


def opened(context: RequestContext, pipeline: RunPipeline) -> RunPipeline:
    """The pipeline with block values in the credentials of its connectors. Raises SourceError for one that cannot be
    read."""

    def of(record: ConnectorRecord) -> ConnectorRecord:
        return replace(record, credentials=resolve_blocks(context, record.credentials))

    named = {name: of(record) for name, record in pipeline.named.items()}
    return replace(pipeline, connector=of(pipeline.connector), named=named)


def databases_at(context: RequestContext, pipeline_id: str, version: int | None) -> TargetDatabases:
    """Where the targets of a version are (None: of the live one). Raises TargetError, NoIr, PipelineMissing."""
    settings = context.services.settings
    return target_databases(_loaded(context, pipeline_id, version), settings.database_url, settings.connector_networks)


def ledgers_of(context: RequestContext, pipeline_id: str) -> Ledgers:
    """The ledgers of a pipeline's versions; None is the live one."""
    settings = context.services.settings

    def found(versions: Versions) -> Sequence[Database]:
        pipelines = [_loaded(context, pipeline_id, each) for each in dict.fromkeys(versions)]
        return databases_of(pipelines, settings.database_url, settings.connector_networks)

    return Ledgers(found, partial(ask, context))


def ask(context: RequestContext, database: Database, question: str, *arguments: Any) -> Any:
    """The answer to one of `connectors.postgresql.questions`, from a thread of the server. Raises TargetError,
    psycopg.Error, and ApiError as `SubprocessPool.run` does."""
    if isinstance(database, str):
        return questions.ask(database, question, *arguments)
    services = context.services
    seconds = services.settings.connector_test_timeout_s + _GRACE_S
    asked = partial(services.subprocesses.run, None, context.principal.tenant_id, "question to the target's database")
    answer: bytes = anyio.from_thread.run(asked, seconds, jobs.ask_database, database, question, *arguments)
    return json.loads(answer)


def _loaded(context: RequestContext, pipeline_id: str, version: int | None) -> RunPipeline:
    pipeline = context.store.pipelines.load(pipeline_id, version)
    try:
        # References are read only where a target names a connector: nothing else is logged into here.
        return opened(context, pipeline) if pipeline.named else pipeline
    except SourceError as error:
        raise TargetError(error.code, error.message, error.hint) from error
