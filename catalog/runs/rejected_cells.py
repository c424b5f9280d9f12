"""Rejected cells of runs, as running flows write them."""

from __future__ import annotations

from sqlalchemy import Engine, delete

from headrace.catalog.errors import RunMissing
from headrace.catalog.models import RunError
from headrace.catalog.runs import statements
from headrace.catalog.runs.records import UncommittedRows

MAX_VALUE_CHARS = 1000
MAX_KEY_CHARS = 300
"""Column and rule are part of the errors' key, and an index row is limited to about 2,700 bytes."""


class RejectedCellStore:
    """Rejected cells by run id."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(
        self,
        root_run_id: str,
        run_id: str,
        node_id: str,
        stage: int,
        partition: int,
        *,
        cells: str,
        warning: bool = False,
    ) -> int:
        """Stores rejected cells; returns the number of new ones (a replayed batch adds none).

        `cells` is a JSON list of objects with `row`, `column` ('' for a whole row), `value`, `error`, `rule`, and
        `sources`, the files of the row as in RunError, as JSON text; without NUL characters, and of texts that are not
        longer than MAX_VALUE_CHARS and MAX_KEY_CHARS. `warning`: the rows are loaded anyway. Raises RunMissing.
        """
        with self._engine.begin() as connection:
            # Once for all, and no foreign key, which would be checked for each.
            if not connection.scalar(statements.HOLD_RUN, {"run": run_id}):
                raise RunMissing(f"There is no run {run_id}")
            stored = connection.execute(
                statements.STORE_ERRORS,
                {
                    "root": root_run_id,
                    "run": run_id,
                    "node": node_id,
                    "stage": stage,
                    "partition": partition,
                    "warning": warning,
                    "cells": cells,
                },
            )
            return stored.rowcount

    def forget(self, root_run_id: str, only: UncommittedRows | None = None, *, since: int = 0) -> None:
        """Deletes the rejected cells of a chain of runs, which starts over (of partitions from `since` on, where an
        epoch does), or only those of the rows in `only`."""
        gone = delete(RunError).where(RunError.root_run_id == root_run_id, RunError.partition >= since)
        if only is not None:
            gone = gone.where(RunError.stage == only.stage, RunError.partition == only.partition)
            gone = gone.where(RunError.node_id.in_(only.nodes), RunError.row > only.last_row)
        with self._engine.begin() as connection:
            connection.execute(gone)
