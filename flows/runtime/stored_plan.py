"""What is stored of a plan, and how a later attempt of the run takes it over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import polars as pl

from headrace.connectors.postgresql.connections import Database, key_of
from headrace.connectors.source import Discovery, Partition, Restart, Source
from headrace.flows.compile import PhysicalPlan
from headrace.flows.compile.type_inference.infer import View, Views
from headrace.flows.runtime.errors import SourceChanged
from headrace.flows.runtime.job import Job, Prepared
from headrace.ir.schema import Field


def stored_plan(prepared: Prepared) -> dict[str, Any]:
    """What is stored with the run: the readable plan, and the partitions as a later attempt needs them."""
    partitions = {node: [stored_partition(p) for p in found.partitions] for node, found in prepared.discoveries.items()}
    restarts = {
        node: found.restart.value for node, found in prepared.discoveries.items() if found.restart is not Restart.EXACT
    }
    gathered = {stage.gathering.id: len(stage.partitions) for stage in prepared.plan.stages if stage.gathering}
    quarantines = sorted({table for stage in prepared.plan.stages for table in stage.quarantine.values()})
    claims = {node: held.record for node, held in prepared.job.held.items() if held.record is not None}
    return {
        **prepared.plan.describe(),
        "fingerprints": prepared.fingerprints,
        "schemas": {node: [asdict(field) for field in found.schema] for node, found in prepared.discoveries.items()},
        **({"views": _written(prepared.views)} if prepared.views else {}),
        "sure": {node: sorted(found.sure) for node, found in prepared.discoveries.items()},
        "partitions": partitions,
        **({"restarts": restarts} if restarts else {}),
        **({"claims": claims} if claims else {}),
        **({"quarantines": quarantines} if quarantines else {}),
        **_stored_databases(prepared.job),
        **_replayable(prepared.plan),
        **({"buckets": gathered, "engine": pl.__version__} if gathered else {}),
    }


def _stored_databases(job: Job) -> dict[str, Any]:
    """The connectors whose databases the targets are in, by node, and the one where failed rows are kept: nothing of
    either where that is the warehouse."""
    databases = job.databases
    found = {node: key_of(each) for node, each in databases.by_target.items() if key_of(each)}
    kept = _kept_in(job) if job.continues.replays else key_of(databases.home)
    return {**({"databases": found} if found else {}), **({"keptIn": kept} if kept else {})}


def _kept_in(job: Job) -> str:
    return str((job.continues.earlier_plan or {}).get("keptIn", ""))


def kept_in(job: Job) -> Database:
    """Where the failed rows are that a replay runs again: the home of the run in which they failed. Raises
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


def _written(views: Views) -> dict[str, Any]:
    return {
        node: {name: [view.value and asdict(view.value), view.key and asdict(view.key)] for name, view in seen.items()}
        for node, seen in views.items()
    }


def stored_views(plan: Mapping[str, Any]) -> Views:
    """How the cells of a run's sources were looked at, as `stored_plan` has it."""

    def read(given: Mapping[str, Any] | None) -> Field | None:
        return None if given is None else Field(**given)

    return {
        node: {name: View(*map(read, given)) for name, given in seen.items()}
        for node, seen in plan.get("views", {}).items()
    }


def _replayable(plan: PhysicalPlan) -> dict[str, Any]:
    """What a retry for the failed rows alone has to know."""
    if plan.entangling is not None:
        return {"whole": False, "entangling": plan.entangling}
    return {"ways": plan.ways} if any(plan.ways) else {}


def stored_partition(partition: Partition) -> list[Any]:
    """A partition as a stored plan has it."""
    stored: list[Any] = [partition.first_row, partition.rows, dict(partition.location)]
    more = {
        **({} if partition.counted else {"counted": False}),
        **({"cursor": partition.cursor} if partition.cursor else {}),
        **({"label": partition.label} if partition.label else {}),
    }
    return [*stored, more] if more else stored


def restored_partition(index: int, stored: Sequence[Any]) -> Partition:
    """The partition of that index, from a stored plan."""
    first_row, rows, location, *more = stored
    return Partition(index, first_row, rows, location, **(more[0] if more else {}))


def _restart(plan: Mapping[str, Any], node: str) -> Restart:
    return Restart(plan.get("restarts", {}).get(node, Restart.EXACT))


def check_unchanged(node: str, fingerprint: str | None, earlier: Mapping[str, Any]) -> None:
    if earlier.get("fingerprints", {}).get(node) != fingerprint:
        raise SourceChanged(
            f"The source '{node}' changed since this run began, so it cannot be continued. "
            "Start a new run; rows that are in the table already stay there."
        )


def as_found(node: str, source: Source, job: Job) -> Discovery:
    """The source as the process that planned the run found it; it is not read again for that."""
    plan = job.continues.earlier_plan
    assert plan is not None, "a run under way has stored its plan"
    schema = tuple(Field(**field) for field in plan["schemas"][node])
    partitions = [restored_partition(*numbered) for numbered in enumerate(plan["partitions"][node])]
    total, sure = sum(each.rows for each in partitions), frozenset(plan.get("sure", {}).get(node, ()))
    return Discovery(schema, (), total, source.fingerprint(), sure, restart=_restart(plan, node))


def as_before(node: str, found: Discovery, earlier: Mapping[str, Any]) -> Discovery:
    check_unchanged(node, found.fingerprint, earlier)
    partitions = [restored_partition(*numbered) for numbered in enumerate(earlier["partitions"][node])]
    found = replace(found, restart=_restart(earlier, node), total_rows=sum(each.rows for each in partitions))
    if "schemas" in earlier:  # types that were chosen by values, or by tables that may have changed since, stay
        schema = tuple(Field(**field) for field in earlier["schemas"].get(node, ()))
        found = replace(found, schema=schema, sure=frozenset(earlier.get("sure", {}).get(node, ())))
    return replace(found, partitions=partitions)


def stored_buckets(earlier: Mapping[str, Any] | None) -> Mapping[str, int]:
    """How many buckets each gathering has, where an earlier attempt began with them. Raises SourceChanged when rows
    would not be spread over them as before."""
    buckets: Mapping[str, int] = (earlier or {}).get("buckets", {})
    if buckets and (earlier or {}).get("engine") != pl.__version__:
        raise SourceChanged(
            "Headrace was upgraded since this run began and would spread its rows in another way, so it cannot be "
            "continued. Start a new run; rows that are in the table already stay there."
        )
    return buckets
