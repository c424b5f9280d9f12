"""What a run tells the outside while it works: rejected cells, committed progress, lines for its log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import polars as pl

from catalog.run_records import JudgedRule, Uncommitted
from connectors.base import Resume

LogStage = Literal["extract", "transform", "validate", "load", "retry", "run"]
PartitionStatus = Literal["pending", "running", "completed", "failed"]


class Journal(Protocol):
    """Receives what happens. Called from the threads of partitions; must be safe for that and idempotent, because a
    replayed batch tells everything again."""

    def rejected(self, stage: int, partition: int, node: str, cells: pl.DataFrame, *, warning: bool) -> None:
        """Cells (REJECT_SCHEMA) of rows that failed at a node, before their batch commits; with `warning`, of rows that
        go on all the same."""

    def forget(self, only: Uncommitted | None = None) -> None:
        """Rejected cells of earlier attempts: the run begins from the beginning; or only those of rows whose batches
        never committed, which are told again if they are still rejected."""

    def progress(self, stage: int, partition: int, status: PartitionStatus, committed: Resume) -> None:
        """Where a partition stands, as committed."""

    def judged(self, rules: Sequence[JudgedRule]) -> None:
        """How all dataset rules of the run were judged."""

    def earlier_rows(self, node: str, runs: int) -> Sequence[int]:
        """The rows that left a node in so many completed runs of the same pipeline, newest first."""

    def log(self, stage: LogStage, message: str) -> None:
        """A line for people."""
