"""How a run goes on from an earlier one: continued behind its ledger, or its failed rows run again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from catalog.run_records import RunSnapshot
from catalog.runs import RunStore
from connectors.postgresql.ledger import committed_rows, replayed_rows
from flows.runtime.limits import RunFailed

OpenRows = Mapping[tuple[int, int], Sequence[int]]
"""Failed rows by (stage, partition), ascending."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """What a run takes over. `root_run_id` keys ledger and errors; `earlier_plan` is the plan whose partitions are used
    again; `open_rows`, in a replay that begins, are the rows to run; `ir_version` None means the live one."""

    root_run_id: str
    retry_of: str | None = None
    origin_run_id: str | None = None
    ir_version: int | None = None
    earlier_plan: dict[str, Any] | None = None
    open_rows: OpenRows | None = None
    parameters: Mapping[str, Any] | None = None
    """Those of the earlier run; None for a run that is the first."""
    committed: int = 0
    """Source rows that the chain has dealt with for good."""

    @property
    def replays(self) -> bool:
        """Only failed rows are run again."""
        return self.origin_run_id is not None


def begun_before(before: RunSnapshot, database_url: str) -> Continuation:
    """The same run again, because Prefect or a person re-ran its flow run after it had been planned."""
    return _behind_ledger(before, before.retry_of, database_url, before.ir_version)


def retried(original: RunSnapshot, store: RunStore, run_id: str, database_url: str) -> Continuation:
    """A new run for one that failed, or that completed with errors. Raises RunFailed when there is nothing to do."""
    if original.status != "completed_with_errors":
        return _behind_ledger(original, original.id, database_url, None)
    origin = original.origin_run_id or original.root_run_id
    found = open_rows(original, store, database_url)
    if not found:
        raise RunFailed(f"No failed rows of {original.id} are left to run again")
    return Continuation(
        root_run_id=run_id,
        retry_of=original.id,
        origin_run_id=origin,
        earlier_plan=original.plan,
        open_rows=found,
        parameters=original.parameters,
        committed=original.rows_in,
    )


def open_rows(original: RunSnapshot, store: RunStore, database_url: str) -> OpenRows:
    """The rows that failed in the run and were not loaded by a replay since."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        loaded = replayed_rows(connection, original.origin_run_id or original.root_run_id)
    stages = (original.plan or {}).get("stages", [])
    targets = {index: stage["nodes"][-1] for index, stage in enumerate(stages)}
    left: dict[tuple[int, int], list[int]] = {}
    for (stage, partition), rows in store.failed_rows(original.root_run_id).items():
        done = loaded.get(targets.get(stage, ""), set())
        if remaining := [row for row in rows if row not in done]:
            left[(stage, partition)] = remaining
    return left


def _behind_ledger(earlier: RunSnapshot, retry_of: str | None, database_url: str, version: int | None) -> Continuation:
    """Behind what the chain has committed; when that is nothing there is nothing to be true to, neither partitions nor
    the state of the source nor (for a new run) the version."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        committed = committed_rows(connection, earlier.root_run_id)
    bound = committed > 0 or earlier.origin_run_id is not None
    return Continuation(
        root_run_id=earlier.root_run_id,
        retry_of=retry_of,
        origin_run_id=earlier.origin_run_id,
        ir_version=earlier.ir_version if bound else version,
        earlier_plan=earlier.plan if bound else None,
        parameters=earlier.parameters,
        committed=committed,
    )
