"""The recorder of benchmarks: nobody reads it."""

from __future__ import annotations

from collections.abc import Sequence

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


class Silence(RunRecorder):
    """Keeps nothing. Rows that fail end the benchmark."""

    def rejected(self, stage: int, partition: int, node: str, cells: pl.DataFrame, *, warning: bool) -> None:
        raise SystemExit(f"rows were refused: {cells.head(1).rows()}")

    def progress(
        self,
        stage: int,
        partition: int,
        status: PartitionStatus,
        committed: Resume,
        *,
        gathered: Gathered | None = None,
    ) -> None:
        pass

    def forget(self, only: UncommittedRows | None = None, *, since: int = 0) -> None:
        pass

    def evaluated(self, rules: Sequence[DatasetRuleOutcome]) -> None:
        pass

    def earlier_rows(self, node: str, runs: int) -> Sequence[int]:
        return ()

    def log(self, stage: LogStage, message: str, *, level: LogLevel = "info") -> None:
        pass
