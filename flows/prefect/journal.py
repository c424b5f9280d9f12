"""The journal of a run under Prefect: the catalog's, and what people with Prefect's UI see of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection

import polars as pl

from catalog.runs import RunStore
from connectors.base import Resume
from flows.prefect.events import RunEvents
from flows.runtime.catalog_journal import CatalogJournal
from flows.runtime.journal import LogStage, PartitionStatus

RunLogger = logging.Logger | logging.LoggerAdapter[logging.Logger]


class PrefectJournal(CatalogJournal):
    """Writes to the catalog, then to the run's log in Prefect and to its events; see Journal."""

    def __init__(
        self, store: RunStore, run_id: str, root_run_id: str, *, logger: RunLogger, events: RunEvents | None = None
    ) -> None:
        super().__init__(store, run_id, root_run_id)
        self._logger, self._events = logger, events
        self._lock = threading.Lock()
        self._warned: set[tuple[str, bool]] = set()
        self._read: dict[tuple[int, int], int] = {}
        self._ended: set[tuple[int, int]] = set()

    @property
    def rows_read(self) -> int:
        """Source rows committed so far, by this run and those it continues."""
        with self._lock:
            return sum(self._read.values())

    def ended(self, stages: Collection[int]) -> int:
        """How many partitions of these stages are done."""
        with self._lock:
            return sum(stage in stages for stage, _ in self._ended)

    def rejected(self, stage: int, partition: int, node: str, cells: pl.DataFrame, *, warning: bool) -> None:
        super().rejected(stage, partition, node, cells, warning=warning)
        with self._lock:
            if cells.is_empty() or (node, warning) in self._warned:
                return
            self._warned.add((node, warning))
        # The first of each node only: the others are in the run's errors. No value: logs are read by more people.
        row, column, _value, error, _rule = cells.select("row", "column", "value", "error", "rule").row(0)
        where = f"row {row:,}" if not column else f"row {row:,}, column {column}"
        self._logger.warning("%s: %s: %s", node, where, error)

    def progress(self, stage: int, partition: int, status: PartitionStatus, committed: Resume) -> None:
        super().progress(stage, partition, status, committed)
        with self._lock:
            if stage >= 0:
                self._read[stage, partition] = committed.rows_done
                if status == "completed":
                    self._ended.add((stage, partition))
        if self._events is not None:
            self._events.partition(stage, partition, status, committed)

    def log(self, stage: LogStage, message: str, *, warning: bool = False) -> None:
        super().log(stage, message, warning=warning)
        self._logger.log(logging.WARNING if warning else logging.INFO, "%s: %s", stage, message)
