"""The store of streaming runs: their epochs, how far they are behind, what they are wanted to do, and which have died.

There is no tenant filter here: callers use ids from Headrace itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from headrace.catalog.runs import stream_statements as statements
from headrace.catalog.runs.records import RunStatus, SourceLag
from headrace.ir.load_modes import LoadStrategy

SOON_S = 120.0
"""A run that fails within this time of its start failed by itself, and not by what came later."""
RECENT = 20
"""Runs of a pipeline that are looked at for failures in a row."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wanted of a streaming run by now."""

    live_version: int | None
    execution_config: Mapping[str, Any]
    paused: bool
    waiting: str | None
    """Another run of the pipeline that waits for this one to end, such as a replay of failed rows."""


@dataclass(frozen=True, slots=True)
class EndedStream:
    """The last streaming run of a pipeline that should stream, and does not. `failures`: so many runs in a row failed
    soon after they had begun, this one included. `planned`: it may have begun an epoch that is to be finished."""

    pipeline_id: str
    tenant_id: str
    pipeline_name: str
    deployment_id: str | None
    live_version: int
    run_id: str
    status: RunStatus
    failure_reason: str | None
    planned: bool
    parameters: Mapping[str, Any]
    created_at: datetime
    ended_at: datetime
    load_strategy: LoadStrategy
    root_run_id: str
    now: datetime
    failures: int


@dataclass(frozen=True, slots=True)
class StreamLag:
    """How far a running stream is behind one of its sources."""

    pipeline_id: str
    source: str
    seconds: float | None
    rows: int


class StreamStore:
    """Every method is a transaction of its own."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def epoch(
        self,
        run_id: str,
        *,
        base: int,
        rows: int,
        fingerprint: Mapping[str, str | None],
        plan: Mapping[str, Any],
        partitions: Sequence[tuple[int, int, int]],
        begins: bool,
        counted_by: str | None = None,
    ) -> None:
        """Stores the plan of the run's newest epoch, which begins to load now. The counts of partitions with indexes
        below `base` become one row for each stage, and those that are not planned any more are deleted.

        `partitions` are (stage, index + base, rows), `rows` their sum. `begins`: it is the first epoch of an attempt;
        `counted_by` is then the run whose folded counts the run takes over, because it goes on with its stream.
        """
        planned = {
            "run_id": run_id,
            "base": base,
            "rows": rows,
            "stages": [stage for stage, _, _ in partitions],
            "indexes": [index for _, index, _ in partitions],
            "planned": [many for _, _, many in partitions],
            "fingerprint": json.dumps(fingerprint),
            "plan": json.dumps(plan),
            "begins": begins,
            "counted_by": counted_by,
        }
        with self._engine.begin() as connection:
            if begins and counted_by is not None and counted_by != run_id:
                for statement in statements.TAKE_OVER:
                    connection.execute(statement, planned)
            for statement in (statements.DROP_UNPLANNED, *statements.FOLD, statements.PLAN, statements.EPOCH):
                connection.execute(statement, planned)

    def looked(self, run_id: str, lags: Mapping[str, SourceLag]) -> None:
        """Stores how far the run is behind; does nothing for one that has ended."""
        values = {"run_id": run_id, "lags": json.dumps({node: lag.as_json() for node, lag in lags.items()})}
        with self._engine.begin() as connection:
            connection.execute(statements.LOOKED, values)

    def last_lags(self, pipeline_id: str) -> dict[str, SourceLag]:
        """How far the last run of the pipeline that knew it was behind its sources."""
        with self._engine.connect() as connection:
            found = connection.execute(statements.LAST_LAGS, {"pipeline_id": pipeline_id}).scalar()
        return {node: SourceLag.of(each) for node, each in (found or {}).items()}

    def before(self, run_id: str) -> str | None:
        """The streaming run of the same pipeline before this one."""
        with self._engine.connect() as connection:
            found = connection.scalar(statements.BEFORE, {"run_id": run_id})
            return None if found is None else str(found)

    def wishes(self, pipeline_id: str, run_id: str) -> Wishes | None:
        """What is wanted of the run now; None when there is no such pipeline any more."""
        with self._engine.connect() as connection:
            found = connection.execute(statements.WISHES, {"pipeline_id": pipeline_id, "run_id": run_id}).one_or_none()
        return None if found is None else Wishes(**found._mapping)

    def streaming(self, pipeline_id: str) -> str | None:
        """The unfinished streaming run of the pipeline; None without one."""
        with self._engine.connect() as connection:
            found = connection.scalar(statements.STREAMING, {"pipeline_id": pipeline_id})
            return None if found is None else str(found)

    def ended(self, cancelled: str, pipeline_id: str | None = None) -> list[EndedStream]:
        """The pipelines that should stream and do not: not paused, with a last streaming run that has ended, and not
        with `cancelled` as its reason. All of them, or this one."""
        values = {"cancelled": cancelled, "pipeline_id": pipeline_id, "soon": SOON_S, "recent": RECENT}
        with self._engine.connect() as connection:
            return [EndedStream(**row._mapping) for row in connection.execute(statements.ENDED, values)]

    def lags(self) -> list[StreamLag]:
        """How far all running streams are behind."""
        with self._engine.connect() as connection:
            found = connection.execute(statements.LAGS)
            return [
                StreamLag(row.pipeline_id, node, SourceLag.of(lag).seconds(row.now), SourceLag.of(lag).rows)
                for row in found
                for node, lag in row.lags.items()
            ]
