"""Counts of the partitions and nodes of runs, as running flows report them."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.dialects.postgresql import insert

from headrace.catalog.models import RunPartition
from headrace.catalog.runs import statements
from headrace.catalog.runs.records import Gathered, PartitionStatus


class PartitionCountStore:
    """Counts by run id; all are absolute, so that a partition that reports twice is counted once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def report(
        self,
        run_id: str,
        stage: int,
        index: int,
        *,
        status: PartitionStatus,
        rows_in: int,
        rows_out: int,
        failed: int,
        skipped: int,
        nodes: dict[str, dict[str, int]],
        gathered: Gathered | None = None,
    ) -> None:
        """Sets the counts of a partition and of its nodes: rows committed since the root run began.

        A stage that reads no source reports `rows_in` 0, and one that loads nothing `rows_out` 0, so that the run's
        totals are sums. The first report of a partition should come before its first batch, with the counts of earlier
        runs and attempts, so that the ETA is that of this attempt. `gathered`: see Gathered.
        """
        statement = insert(RunPartition).values(
            run_id=run_id,
            stage=stage,
            index=index,
            planned_rows=rows_in,
            status=status,
            rows_in=rows_in,
            rows_out=rows_out,
            failed=failed,
            skipped=skipped,
            base_rows=0,
            updated_at=func.clock_timestamp(),
            gathered_rows=None if gathered is None else gathered.rows,
        )
        new = statement.excluded
        changes: dict[str, Any] = {
            name: new[name] for name in ("status", "rows_in", "rows_out", "failed", "skipped", "updated_at")
        }
        changes["base_rows"] = func.coalesce(RunPartition.base_rows, new.rows_in)
        if gathered is not None:
            changes["gathered_rows"] = new.gathered_rows
            if gathered.of is not None:
                changes["planned_rows"] = gathered.of
        key = [RunPartition.run_id, RunPartition.stage, RunPartition.index]
        with self._engine.begin() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changes))
            counted = {"run_id": run_id, "stage": stage, "partition": index, "nodes": json.dumps(nodes)}
            connection.execute(statements.COUNT_NODES, counted)

    def totals(self, run_id: str) -> tuple[int, int]:
        """Returns (failed rows, source rows read) of all partitions of the run so far."""
        sums = select(func.coalesce(func.sum(RunPartition.failed), 0), func.coalesce(func.sum(RunPartition.rows_in), 0))
        with self._engine.connect() as connection:
            failed, read = connection.execute(sums.where(RunPartition.run_id == run_id)).one()
            return int(failed), int(read)
