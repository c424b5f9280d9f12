"""The recorder of one epoch: its partitions have numbers of their own in the run, and the log stays short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

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
from headrace.flows.runtime.run_recorder import RunRecorder

_NO_NUMBERS = str.maketrans("", "", "0123456789,.")
_MOST_LINES = 500
"""Different lines that the epochs of a run add to its log at most."""


class EpochRecorder:
    """A `RunRecorder` that adds the epoch's `base` to the indexes of partitions and publications. A line of
    the log that differs from one in `seen` only in its numbers is left out: every epoch would say the same."""

    def __init__(self, inner: RunRecorder, base: int, seen: set[str]) -> None:
        self._inner, self._base, self._seen = inner, base, seen
        self._first = not seen

    def rejected(self, stage: int, partition: int, node: str, cells: pl.DataFrame, *, warning: bool) -> None:
        self._inner.rejected(stage, self._base + partition, node, cells, warning=warning)

    def forget(self, only: UncommittedRows | None = None, *, since: int = 0) -> None:
        if only is None:
            self._inner.forget(since=max(since, self._base))
        else:
            self._inner.forget(replace(only, partition=self._base + only.partition))

    def progress(
        self,
        stage: int,
        partition: int,
        status: PartitionStatus,
        committed: Resume,
        *,
        gathered: Gathered | None = None,
    ) -> None:
        self._inner.progress(stage, self._base + partition, status, committed, gathered=gathered)

    def evaluated(self, rules: Sequence[DatasetRuleOutcome]) -> None:
        if self._first or not all(rule.holds for rule in rules):
            self._inner.evaluated(rules)

    def earlier_rows(self, node: str, runs: int) -> Sequence[int]:
        return self._inner.earlier_rows(node, runs)

    def log(self, stage: LogStage, message: str, *, level: LogLevel = "info") -> None:
        alike = message.translate(_NO_NUMBERS)
        if alike not in self._seen and len(self._seen) < _MOST_LINES:
            self._seen.add(alike)
            self._inner.log(stage, message, level=level)
