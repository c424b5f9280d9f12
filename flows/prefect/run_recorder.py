"""The recorder of a run under Prefect: writes to the catalog, the run's log in Prefect and its events."""

from __future__ import annotations

import logging
import threading

import polars as pl

from headrace.catalog.runs.records import Gathered, LogLevel, LogStage, PartitionStatus
from headrace.catalog.runs.store import RunStore
from headrace.connectors.target import Resume
from headrace.flows.prefect.events import RunEvents
from headrace.flows.runtime.run_recorder import CatalogRecorder

RunLogger = logging.Logger | logging.LoggerAdapter[logging.Logger]


class PrefectRecorder(CatalogRecorder):
    """A Journal that writes to the catalog, then to the run's log in Prefect and to its events."""

    def __init__(
        self, store: RunStore, run_id: str, root_run_id: str, *, logger: RunLogger, events: RunEvents | None = None
    ) -> None:
        super().__init__(store, run_id, root_run_id)
        self._logger, self._events = logger, events
        self._lock = threading.Lock()
        self._warned: set[tuple[str, bool]] = set()

    def rejected(self, stage: int, partition: int, node: str, cells: pl.DataFrame, *, warning: bool) -> None:
        super().rejected(stage, partition, node, cells, warning=warning)
        with self._lock:
            if cells.is_empty() or (node, warning) in self._warned:
                return
            self._warned.add((node, warning))
        # Only the first of each node: the others are in the run's errors. Without the value: more people read logs.
        row, column, _value, error, _rule = cells.select("row", "column", "value", "error", "rule").row(0)
        where = f"row {row:,}" if not column else f"row {row:,}, column {column}"
        self._logger.warning("%s: %s: %s", node, where, error)

    def progress(
        self,
        stage: int,
        partition: int,
        status: PartitionStatus,
        committed: Resume,
        *,
        gathered: Gathered | None = None,
    ) -> None:
        super().progress(stage, partition, status, committed, gathered=gathered)
        if self._events is not None:
            self._events.partition(stage, partition, status, committed)

    def log(self, stage: LogStage, message: str, *, level: LogLevel = "info") -> None:
        super().log(stage, message, level=level)
        self._logger.log(logging.getLevelNamesMapping()[level.upper()], "%s: %s", stage, message)
