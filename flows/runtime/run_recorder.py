"""Where a run records rejected cells, progress and log lines; the implementation that writes to the catalog."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import polars as pl

from headrace.catalog.runs.error_copies import COPIED
from headrace.catalog.runs.records import (
    DatasetRuleOutcome,
    Gathered,
    LogLevel,
    LogStage,
    PartitionStatus,
    UncommittedRows,
)
from headrace.catalog.runs.rejected_cells import MAX_KEY_CHARS, MAX_VALUE_CHARS
from headrace.catalog.runs.store import RunStore
from headrace.connectors.postgresql.copy.encode import encode
from headrace.connectors.postgresql.tables.describe import Column
from headrace.connectors.target import Resume
from headrace.flows.runtime.transform.rejected_cells import SOURCES


def cells_as_json(cells: pl.DataFrame) -> str:
    """Rejected cells as a JSON list of objects, for PostgreSQL: texts are cut, and NUL characters, which it cannot
    store, are left out."""
    return cells.select(_storable()).write_json()


def cells_as_copy(cells: pl.DataFrame, **place: object) -> bytes:
    """The same cells as rows for `ErrorCopies.add`; `place` are its other columns, which they have in common."""
    columns = [pl.lit(value).alias(name) for name, value in place.items()]
    rows = cells.select(*columns, *_storable()).with_columns(pl.col(SOURCES).fill_null("[]"))
    return b"".join(encode(rows, _COPIED))


def _storable() -> list[pl.Expr]:
    def text(name: str, limit: int) -> pl.Expr:
        return pl.col(name).str.slice(0, limit).str.replace_all("\x00", "", literal=True)

    return [
        pl.col("row"),
        text("column", MAX_KEY_CHARS).fill_null(""),
        text("value", MAX_VALUE_CHARS),
        text("error", MAX_VALUE_CHARS),
        text("rule", MAX_KEY_CHARS),
        pl.col(SOURCES).str.replace_all("\\u0000", "", literal=True),
    ]


_TYPES = {"stage": "int4", "partition": "int4", "warning": "bool", "row": "int8", "sources": "jsonb"}
_COPIED = [Column(name, of := _TYPES.get(name, "text"), of, nullable=name == "value") for name in COPIED]


def level_of(rule: DatasetRuleOutcome) -> LogLevel:
    """How much the line about a dataset rule matters."""
    if rule.holds:
        return "info"
    return "warning" if rule.on_fail == "warn" else "error"


class RunRecorder(Protocol):
    """Records the events of a run. Called from the threads of partitions, so it must be thread-safe; must be
    idempotent, because a replayed batch records everything again."""

    def rejected(self, stage: int, partition: int, node: str, cells: pl.DataFrame, *, warning: bool) -> None:
        """Records the cells (REJECT_SCHEMA and the column `sources`) of rows that failed at a node, before their batch
        commits. With `warning`, the rows are processed further."""

    def forget(self, only: UncommittedRows | None = None, *, since: int = 0) -> None:
        """Deletes rejected cells of earlier attempts: all when the run starts from the beginning (of partitions from
        `since` on, where an epoch does), or `only` those of rows whose batches were not committed. They are recorded
        again if they are still rejected."""

    def progress(
        self,
        stage: int,
        partition: int,
        status: PartitionStatus,
        committed: Resume,
        *,
        gathered: Gathered | None = None,
    ) -> None:
        """Records the status and the committed row counts of a partition, and of one that gathers rows of other stages
        how many of them are done."""

    def evaluated(self, rules: Sequence[DatasetRuleOutcome]) -> None:
        """Records the results of the run's dataset rules."""

    def earlier_rows(self, node: str, runs: int) -> Sequence[int]:
        """The rows out of a node in the last `runs` completed runs of the same pipeline, newest first."""

    def log(self, stage: LogStage, message: str, *, level: LogLevel = "info") -> None:
        """Adds a line to the run's log."""


class CatalogRecorder:
    """A Journal that writes a run's errors, progress and log lines to the catalog."""

    def __init__(self, store: RunStore, run_id: str, root_run_id: str) -> None:
        self._store, self._run_id, self._root = store, run_id, root_run_id

    def rejected(self, stage: int, partition: int, node: str, cells: pl.DataFrame, *, warning: bool) -> None:
        if cells.is_empty():
            return
        copied = cells_as_copy(
            cells,
            root_run_id=self._root,
            run_id=self._run_id,
            node_id=node,
            stage=stage,
            partition=partition,
            warning=warning,
        )
        if not self._store.error_copies.add(self._run_id, copied):
            self._store.cells.add(
                self._root, self._run_id, node, stage, partition, cells=cells_as_json(cells), warning=warning
            )

    def forget(self, only: UncommittedRows | None = None, *, since: int = 0) -> None:
        self._store.cells.forget(self._root, only, since=since)

    def progress(
        self,
        stage: int,
        partition: int,
        status: PartitionStatus,
        committed: Resume,
        *,
        gathered: Gathered | None = None,
    ) -> None:
        self._store.counts.report(
            self._run_id,
            stage,
            partition,
            status=status,
            rows_in=committed.rows_done,
            rows_out=committed.rows_loaded,
            failed=committed.rows_failed,
            skipped=committed.rows_skipped,
            nodes={node: dict(counters) for node, counters in committed.counters.items()},
            gathered=gathered,
        )

    def evaluated(self, rules: Sequence[DatasetRuleOutcome]) -> None:
        self._store.rules.evaluated(self._run_id, rules)
        for rule in rules:
            text = f"{rule.node}: {rule.wants}: {'holds' if rule.holds else 'BROKEN'} ({rule.found})"
            self.log("validate", text, level=level_of(rule))

    def earlier_rows(self, node: str, runs: int) -> Sequence[int]:
        return self._store.rules.earlier_rows(self._run_id, node, runs)

    def log(self, stage: LogStage, message: str, *, level: LogLevel = "info") -> None:
        self._store.log(self._run_id, stage, message, level=level)
