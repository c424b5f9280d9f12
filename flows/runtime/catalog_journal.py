"""The journal of a real run: into the catalog."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from catalog.run_records import JudgedRule, Uncommitted
from catalog.runs import RunStore
from connectors.base import Resume
from flows.runtime.journal import LogStage, PartitionStatus


class CatalogJournal:
    """Writes a run's errors, progress and log lines to the catalog; see Journal."""

    def __init__(self, store: RunStore, run_id: str, root_run_id: str) -> None:
        self._store, self._run_id, self._root = store, run_id, root_run_id

    def rejected(self, stage: int, partition: int, node: str, cells: pl.DataFrame, *, warning: bool) -> None:
        self._store.errors(
            self._root,
            self._run_id,
            node,
            stage,
            partition,
            rows=cells.get_column("row").to_list(),
            columns=cells.get_column("column").to_list(),
            values=cells.get_column("value").to_list(),
            errors=cells.get_column("error").to_list(),
            rules=cells.get_column("rule").to_list(),
            warning=warning,
        )

    def forget(self, only: Uncommitted | None = None) -> None:
        self._store.forget_errors(self._root, only)

    def progress(self, stage: int, partition: int, status: PartitionStatus, committed: Resume) -> None:
        self._store.partition(
            self._run_id,
            stage,
            partition,
            status=status,
            rows_in=committed.rows_done,
            rows_out=committed.rows_loaded,
            failed=committed.rows_failed,
            skipped=committed.rows_skipped,
            nodes={node: dict(counters) for node, counters in committed.counters.items()},
        )

    def judged(self, rules: Sequence[JudgedRule]) -> None:
        self._store.rules.judged(self._run_id, rules)
        for rule in rules:
            told = f"{rule.node}: {rule.wants}: {'holds' if rule.holds else 'BROKEN'} ({rule.found})"
            self.log("validate", told, warning=not rule.holds)

    def earlier_rows(self, node: str, runs: int) -> Sequence[int]:
        return self._store.rules.earlier_rows(self._run_id, node, runs)

    def log(self, stage: LogStage, message: str, *, warning: bool = False) -> None:
        self._store.log(self._run_id, stage, message)
