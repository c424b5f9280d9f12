"""Stores the plan of a run, and takes over the plan of an earlier attempt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from headrace.connectors.postgresql.connections import Database, key_of
from headrace.connectors.source import Copying, Discovery, Source
from headrace.flows.resume.stored_plan import StoredPlan, StoredSource
from headrace.flows.runtime.errors import SourceChanged
from headrace.flows.runtime.job import Job, Prepared


def stored_plan(prepared: Prepared) -> dict[str, Any]:
    """The plan as JSON, to be stored with the run before its first row is loaded."""
    job, plan, databases = prepared.job, prepared.plan, prepared.job.databases
    shown = plan.describe()
    kept = _kept_in(job) if job.continues.replays else key_of(databases.home)
    return StoredPlan(
        stages=shown["stages"],
        notes=shown["notes"],
        sources={
            node: StoredSource(found.partitions, found.fingerprint, tuple(found.schema), found.sure, found.restart)
            for node, found in prepared.discoveries.items()
        },
        views=prepared.views,
        claims={node: held.record for node, held in job.held.items() if held.record is not None},
        quarantines=sorted({table for stage in plan.stages for table in stage.quarantine.values()}),
        databases={node: key for node, each in databases.by_target.items() if (key := key_of(each))},
        kept_in=kept,
        replayable=plan.entangling is None,
        entangling=plan.entangling,
        ways=plan.ways,
        buckets={stage.exchange.id: len(stage.partitions) for stage in plan.stages if stage.exchange},
        engine=pl.__version__,
        epoch=job.epoch,
    ).as_json()


def _kept_in(job: Job) -> str:
    return "" if job.continues.plan is None else job.continues.plan.kept_in


def kept_in(job: Job) -> Database:
    """The database with the failed rows that a replay runs again: the home of the run in which they failed. Raises
    SourceChanged when the pipeline does not name that database any more."""
    key = _kept_in(job)
    if not key:
        return job.database_url
    for database in job.databases.all:
        if key_of(database) == key:
            return database
    raise SourceChanged(
        f"The failed rows were kept in the database of the connector {key}, which no target names any more. Name it "
        "again, or start a new run."
    )


def check_unchanged(node: str, fingerprint: str | None, earlier: StoredPlan) -> None:
    """Raises SourceChanged when the source is not as the earlier attempt found it."""
    known = earlier.sources.get(node)
    if (known.fingerprint if known is not None else None) != fingerprint:
        raise SourceChanged(
            f"The source '{node}' changed since this run began, so it cannot be continued. "
            "Start a new run; rows that are in the table already stay there."
        )


def as_found(node: str, source: Source, job: Job) -> Discovery:
    """The source as the process that planned the run found it; it is not read again for that."""
    plan = job.continues.plan
    assert plan is not None, "a run under way has stored its plan"
    found = plan.sources[node]
    total = sum(each.rows for each in found.partitions)
    return Discovery(found.schema or (), (), total, source.fingerprint(), found.sure, restart=found.restart)


def keep_copies(sources: Mapping[str, Source], earlier: StoredPlan) -> None:
    """Lets sources that made copies for the earlier attempt use them again."""
    for node, source in sources.items():
        if isinstance(source, Copying):
            source.keep([*earlier.sources[node].partitions] if node in earlier.sources else [])


def as_before(node: str, found: Discovery, earlier: StoredPlan) -> Discovery:
    """The source with the partitions of the earlier attempt. Raises SourceChanged."""
    check_unchanged(node, found.fingerprint, earlier)
    known = earlier.sources[node]
    total = sum(each.rows for each in known.partitions)
    found = replace(found, restart=known.restart, total_rows=total, partitions=known.partitions)
    if known.schema is not None:  # types that were chosen by values, or by tables that may have changed since, stay
        found = replace(found, schema=known.schema, sure=known.sure)
    return found


def stored_buckets(earlier: StoredPlan | None) -> Mapping[str, int]:
    """The bucket counts of the earlier attempt, by shuffle. Raises SourceChanged when rows would be spread over them
    in another way."""
    if earlier is None or not earlier.buckets:
        return {}
    if earlier.engine != pl.__version__:
        raise SourceChanged(
            "Headrace was upgraded since this run began and would spread its rows in another way, so it cannot be "
            "continued. Start a new run; rows that are in the table already stay there."
        )
    return earlier.buckets
