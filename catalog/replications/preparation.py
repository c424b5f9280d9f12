"""Runs of replications whose pipelines are to be made, and runs that have gone silent; for the API's background work.

There is no tenant filter here: it uses ids from the catalog.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from headrace.catalog.replications.records import TableChange, TableStatus


@dataclass(frozen=True, slots=True)
class ToPrepare:
    """A run that has inspected its source; `found` are the found tables, as JSON."""

    run_id: str
    replication_id: str
    tenant_id: str
    retry_of: str | None
    only_tables: tuple[str, ...] | None
    found: list[Any]


@dataclass(frozen=True, slots=True)
class PreparedTable:
    """A table of a run that can begin. `retry_of` is the run of its pipeline that is continued."""

    name: str
    change: TableChange
    status: TableStatus
    pipeline_id: str | None = None
    ir_version: int | None = None
    retry_of: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class EarlierChild:
    """The run of a table's pipeline in the run that is retried: its version and the rows that it loaded."""

    run_id: str
    ir_version: int
    rows_out: int


class Preparation:
    """Every method but `prepared` is one statement."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def waiting(self, limit: int) -> list[str]:
        """Returns ids of runs that wait for their pipelines."""
        with self._engine.connect() as connection:
            return list(connection.scalars(_WAITING, {"limit": limit}))

    def silent(self, seconds: float, limit: int) -> list[str]:
        """Returns ids of unfinished runs that have not reported for `seconds`."""
        with self._engine.connect() as connection:
            return list(connection.scalars(_SILENT, {"seconds": seconds, "limit": limit}))

    def look(self, run_id: str) -> ToPrepare | None:
        """Returns the run; None if it does not wait any more."""
        with self._engine.connect() as connection:
            row = connection.execute(_LOOK, {"id": run_id}).one_or_none()
        if row is None:
            return None
        only = None if row.only_tables is None else tuple(row.only_tables)
        return ToPrepare(row.id, row.replication_id, row.tenant_id, row.retry_of, only, row.found)

    def earlier(self, run_id: str) -> Mapping[str, EarlierChild]:
        """Returns, by table, the failed run of its pipeline that the run had, or had been to continue."""
        with self._engine.connect() as connection:
            rows = connection.execute(_EARLIER, {"run": run_id})
            return {row.name: EarlierChild(row.id, row.ir_version, row.rows_out or 0) for row in rows}

    def prepared(self, session: Session, run_id: str, tables: Sequence[PreparedTable]) -> None:
        """Stores the tables of the run, which begins to load, in the caller's transaction."""
        if tables:
            session.execute(_PREPARED, [{"run": run_id, **asdict(each)} for each in tables])
        session.execute(_LOADING, {"id": run_id})


_WAITING = text("""
    SELECT id FROM headrace.replication_runs WHERE status IN ('pending', 'running') AND phase = 'found'
    ORDER BY created_at, id LIMIT :limit
""")

_SILENT = text("""
    SELECT id FROM headrace.replication_runs
    WHERE status IN ('pending', 'running') AND touched_at < now() - make_interval(secs => :seconds)
    ORDER BY touched_at LIMIT :limit
""")

_LOOK = text("""
    SELECT id, replication_id, tenant_id, retry_of, only_tables, coalesce(found, '[]') AS found
    FROM headrace.replication_runs WHERE id = :id AND status IN ('pending', 'running') AND phase = 'found'
""")

_EARLIER = text("""
    SELECT t.name, r.id, r.ir_version, r.rows_out FROM headrace.replication_run_tables t
    JOIN headrace.pipeline_runs r ON r.id = coalesce(t.child_run_id, t.retry_of)
    WHERE t.run_id = :run AND r.status = 'failed'
""")

_PREPARED = text("""
    INSERT INTO headrace.replication_run_tables
        (run_id, name, change, pipeline_id, ir_version, retry_of, status, message,
         finished_at)
    VALUES (:run, :name, :change, :pipeline_id, :ir_version, :retry_of, :status, :message,
            CASE WHEN CAST(:status AS text) = 'waiting' THEN NULL ELSE now() END)
    ON CONFLICT (run_id, name) DO NOTHING
""")

_LOADING = text("""
    UPDATE headrace.replication_runs SET phase = 'loading', found = NULL WHERE id = :id AND phase = 'found'
""")
