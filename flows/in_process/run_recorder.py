"""The recorder of an in-process run: stores rejected cells in the history, and keeps the rest in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import polars as pl

from headrace.catalog.runs.records import (
    DatasetRuleOutcome,
    Gathered,
    LogLevel,
    LogStage,
    PartitionStatus,
    UncommittedRows,
)
from headrace.connectors.target import Resume
from headrace.flows.in_process.history import History
from headrace.flows.runtime.execute import RunTotals
from headrace.flows.runtime.run_recorder import cells_as_json

_MAX_LINES = 1_000


class InProcessRecorder:
    """A Journal of an in-process run. `on_log` is called with every log line."""

    def __init__(
        self, history: History, run_id: str, root_run_id: str, on_log: Callable[[str], None] | None = None
    ) -> None:
        self._history, self._run_id, self._root, self._on_log = history, run_id, root_run_id, on_log
        self._lock = threading.Lock()
        self._committed: dict[tuple[int, int], Resume] = {}
        self.lines: list[str] = []

    def rejected(self, stage: int, partition: int, node: str, cells: pl.DataFrame, *, warning: bool) -> None:
        self._history.rejected(self._root, stage, partition, node, cells_as_json(cells), warning=warning)

    def forget(self, only: UncommittedRows | None = None, *, since: int = 0) -> None:
        del since  # a program runs no epochs
        self._history.forget(self._root, only)

    def progress(
        self,
        stage: int,
        partition: int,
        status: PartitionStatus,
        committed: Resume,
        *,
        gathered: Gathered | None = None,
    ) -> None:
        del gathered  # nobody looks before its end
        with self._lock:
            self._committed[stage, partition] = committed

    def evaluated(self, rules: Sequence[DatasetRuleOutcome]) -> None:
        self._history.evaluated(self._run_id, rules)
        for rule in rules:
            self.log("validate", f"{rule.node}: {rule.wants}: {'holds' if rule.holds else 'BROKEN'} ({rule.found})")

    def earlier_rows(self, node: str, runs: int) -> Sequence[int]:
        return self._history.earlier_rows(self._run_id, node, runs)

    def log(self, stage: LogStage, message: str, *, level: LogLevel = "info") -> None:
        del level  # its lines are read one by one
        line = f"{stage}: {message}"
        with self._lock:
            if len(self.lines) < _MAX_LINES:
                self.lines.append(line)
        if self._on_log is not None:
            self._on_log(line)

    def committed(self) -> RunTotals:
        """The committed row counts of a run that was not finished."""
        with self._lock:
            done = list(self._committed.values())
        return RunTotals(
            rows_in=sum(each.rows_done for each in done),
            rows_out=sum(each.rows_loaded for each in done),
            failed=sum(each.rows_failed for each in done),
            skipped=sum(each.rows_skipped for each in done),
        )

    def nodes(self) -> Mapping[str, Mapping[str, int]]:
        """The row counts of each node."""
        with self._lock:
            done = list(self._committed.values())
        found: dict[str, dict[str, int]] = {}
        for each in done:
            for node, counters in each.counters.items():
                here = found.setdefault(node, {})
                for name, count in counters.items():
                    here[name] = here.get(name, 0) + count
        return found
