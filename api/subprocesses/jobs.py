"""Functions that run in a child process, each returning JSON: plans, previews, connection tests, discovery, and
questions to databases of targets."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import psycopg

from headrace.api.connectors.stream_schemas import StreamItem, StreamRows
from headrace.api.plans.schemas import (
    Plan,
    PlannedPartition,
    PlannedSink,
    PlannedStage,
    Preview,
    PreviewedNode,
    SqlItem,
    SqlPreview,
    TableChangeItem,
)
from headrace.api.runs.trial_schemas import RetryTrial
from headrace.api.subprocesses.inspected import Found, inspected
from headrace.api.wire import ResponseModel
from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql import questions
from headrace.connectors.postgresql.connections import Database
from headrace.connectors.postgresql.error_messages import error_message
from headrace.connectors.registry import check, forgotten, listed, of_type
from headrace.connectors.source import ROW, Closing
from headrace.flows.dry_run import replay
from headrace.flows.dry_run.plan import plan_run
from headrace.flows.dry_run.preview import preview
from headrace.flows.dry_run.shown_rows import shown_rows
from headrace.flows.replication.discover import discover
from headrace.flows.replication.found import FOUND_TABLES
from headrace.flows.runtime.job import Job
from headrace.flows.validation.mode_switch import ModeChange, mode_switch
from headrace.ir.load_modes import LoadStrategy
from headrace.ir.replication import ReplicationIR


def plan(job: Job, version: int | None, load_strategy: LoadStrategy) -> bytes:
    """Plans a run; returns what was found in its sources and a Plan (`Inspected`)."""

    def planned(found: Found) -> bytes:
        run = plan_run(job, found)
        return _body(
            Plan(
                ir_version=version,
                load_strategy=load_strategy,
                estimated_rows=run.estimated_rows,
                parallelism=run.parallelism,
                stages=[_stage(stage) for stage in run.stages],
                sql=[SqlItem.model_validate(target) for target in run.targets],
                ddl=[TableChangeItem.model_validate(change) for change in run.changes],
                notes=run.notes,
            )
        )

    return inspected(job, planned)


def sql_preview(job: Job, version: int | None) -> bytes:
    """Plans a run; returns what was found in its sources and a SqlPreview (`Inspected`)."""

    def planned(found: Found) -> bytes:
        targets = plan_run(job, found).targets
        return _body(SqlPreview(ir_version=version, targets=[SqlItem.model_validate(target) for target in targets]))

    return inspected(job, planned)


def preview_rows(job: Job, version: int | None, limit: int, only: str | None) -> bytes:
    """Returns what was found in the sources and a Preview (`Inspected`), of one node if `only` is given."""

    def previewed(found: Found) -> bytes:
        nodes = preview(job, rows=limit, found=found)
        shown = [PreviewedNode.model_validate(node) for node in nodes if only in (None, node.node)]
        return _body(Preview(ir_version=version, limit=limit, nodes=shown))

    return inspected(job, previewed)


def try_replay(job: Job, version: int | None, limit: int) -> bytes:
    """Tries the open rows of a replay, at most `limit`; returns a RetryTrial. Raises PlanFailed, TargetError."""
    found = replay.try_replay(job, rows=limit)
    return _body(RetryTrial.model_validate({"ir_version": version, "skipped": found.skipped, **asdict(found)}))


def _body(shown: ResponseModel) -> bytes:
    return shown.model_dump_json(by_alias=True).encode()


def _stage(stage: Mapping[str, Any]) -> PlannedStage:
    known = {"index", "firstRow", "rows"}
    partitions = [
        PlannedPartition(
            index=each["index"],
            first_row=each["firstRow"],
            rows=each["rows"],
            location={key: value for key, value in each.items() if key not in known},
        )
        for each in stage["partitions"]
    ]
    sinks = [_sink(sink) for sink in stage.get("sinks", ())]
    target = stage.get("target", {})
    root = stage.get("source") or stage.get("gathers") or {}
    if not sinks:
        sinks = [_sink({"path": stage["nodes"], "target": target})]
    return PlannedStage(
        name=stage["name"],
        rows=sum(partition.rows for partition in partitions),
        after=stage.get("after", []),
        gathers=stage.get("gathers", {}).get("what"),
        unread=root.get("unread", []),
        where=root.get("where", []),
        steps=[step for segment in stage["segments"] for step in segment],
        queries=stage["segments"],
        table=target.get("table"),
        load_mode=target.get("loadMode"),
        columns=target.get("columns", []),
        sinks=sinks,
        partitions=partitions,
    )


def _sink(sink: Mapping[str, Any]) -> PlannedSink:
    target = sink.get("target", {})
    return PlannedSink(
        path=sink["path"],
        table=target.get("table"),
        load_mode=target.get("loadMode"),
        columns=target.get("columns", sink.get("columns", [])),
        sends=sink.get("sends"),
    )


def ask_database(database: Database, question: str, *arguments: Any) -> bytes:
    """Asks a target's database one of `connectors.postgresql.questions`; returns the answer as JSON. Raises
    TargetError."""
    try:
        return json.dumps(questions.ask(database, question, *arguments)).encode()
    except psycopg.Error as error:
        text = f"The target database failed: {error_message(error)}."
        raise TargetError("database_unavailable", text, "Try again when it answers.") from error


def compare_modes(database: Database, changes: Sequence[ModeChange], pipeline_id: str) -> bytes:
    """Returns the effects of changes of load mode on the tables of a target's database as JSON. Raises TargetError."""
    try:
        found = mode_switch(database, changes, pipeline_id)
    except psycopg.Error as error:
        raise TargetError("database_unavailable", error_message(error), "Try again when it answers.") from error
    return json.dumps(
        {name: [asdict(each) for each in getattr(found, name)] for name in ("refused", "losses")}
    ).encode()


def try_connection(connection: Connection, surroundings: Surroundings, seconds: float) -> bytes:
    """Tests a connection; returns message, sample and latency in milliseconds as JSON. Raises SourceError."""
    began = time.perf_counter()
    found = check(connection.type, Context(connection, surroundings), seconds=seconds)
    took_ms = round((time.perf_counter() - began) * 1000)
    return json.dumps({"message": found.message, "sample": dict(found.sample), "latency_ms": took_ms}).encode()


def forget_source(connector: str, context: Context, seconds: float) -> bytes:
    """Removes what runs of a source node keep at its server; returns the names as JSON. Raises SourceError."""
    return json.dumps(forgotten(connector, context, seconds=seconds)).encode()


def list_streams(
    connection: Connection, surroundings: Surroundings, text: str, after: str | None, limit: int, seconds: float
) -> bytes:
    """Lists what a connection can be read for; returns `total` and `items`, at most `limit` + 1 after the name
    `after`, as JSON. Raises SourceError."""
    found = listed(connection.type, Context(connection, surroundings), text, seconds=seconds)
    following = [each for each in found if after is None or each.name > after][: limit + 1]
    items = [StreamItem.of(each).model_dump(mode="json", by_alias=True) for each in following]
    return json.dumps({"total": len(found), "items": items}).encode()


def describe_stream(
    connection: Connection, surroundings: Surroundings, name: str, more: Mapping[str, Any] | None = None
) -> bytes:
    """Returns a StreamItem with columns as JSON; `more` are settings besides its own. Raises SourceError."""
    connector = of_type(connection.type)
    assert connector is not None, "the caller has checked that the type can be read"
    return _body(StreamItem.of(connector.described(Context(connection, surroundings), name, more)))


def sample_stream(connection: Connection, surroundings: Surroundings, name: str, limit: int) -> bytes:
    """Returns the first rows of a stream (StreamRows) as JSON. Raises SourceError."""
    connector = of_type(connection.type)
    assert connector is not None, "the caller has checked that the type can be read"
    context = Context(connection, surroundings)
    found = StreamItem.of(connector.described(context, name))
    with connector.installed():
        source = connector.source(replace(context, settings=found.settings))
        try:
            frame = source.sample(limit).head(limit)
        finally:
            if isinstance(source, Closing):
                source.close()
    rows = [each.values for each in shown_rows(frame)] if ROW in frame.columns else []
    return _body(StreamRows(name=found.name, fields=found.fields or [], rows=rows))


def discover_tables(connection: Connection, surroundings: Surroundings, document: ReplicationIR) -> bytes:
    """Returns the tables that a replication names as JSON (FOUND_TABLES). Raises SourceError."""
    return FOUND_TABLES.dump_json(tuple(discover(connection, surroundings, document)), exclude_defaults=True)
