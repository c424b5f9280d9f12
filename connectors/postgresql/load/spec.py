"""The specification of a load: its run, its target, and how often to retry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from headrace.connectors.postgresql.connections import Database
from headrace.connectors.postgresql.cursors import Cursor, CursorKey


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a batch is tried after transient database errors. Pauses double, starting at `first_pause` seconds."""

    attempts: int = 6
    first_pause: float = 0.5
    longest_pause: float = 30.0

    def pause(self, attempt: int) -> float:
        """Seconds to wait after failed attempt number `attempt` (from 1)."""
        return float(min(self.longest_pause, self.first_pause * 2 ** (attempt - 1)))


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """One load into one target.

    `table` is `schema.table`; `columns` are the columns of the batches, in any order; `database_url` is where the
    table is: a libpq URL, or the database of a connector.
    `root_run_id` is the first run of a chain of retries, `run_id` the current run; `epoch_key` is the ledger's id of an
    epoch of a streaming run, which other loads do not have.
    `origin_run_id` is set in a replay of failed rows: the root of the runs in which they failed. Replayed rows that
    load are deleted from `quarantine_tables`, except rows kept by the nodes `quarantining_elsewhere`, which are on
    other paths. `planned_rows` are the source rows of the whole load, the same in every attempt. `staged_rows` are the
    source rows that must have been processed before anything is published (None: no check); a callable if the number is
    known only then.
    """

    database_url: Database
    table: str
    columns: tuple[str, ...]
    root_run_id: str
    run_id: str
    pipeline_id: str
    ir_version: int
    target_node: str
    origin_run_id: str | None = None
    epoch_key: str | None = None
    quarantine_tables: tuple[str, ...] = ()
    quarantining_elsewhere: tuple[str, ...] = ()
    planned_rows: int = 0
    staged_rows: int | Callable[[], int] | None = None
    upsert_key: tuple[str, ...] = ()
    watermark_column: str | None = None
    allow_empty: bool = False
    """Whether a load of no rows may empty the table."""
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    cursors: tuple[Cursor, ...] = ()
    """The cursors that move when the rows are committed or, where they are staged, published."""

    passed: Mapping[str, str] = field(default_factory=dict)
    """The columns of rows that the source passes on as they are (`connectors.source.Passed`), in their order, and the
    type of each as PostgreSQL writes it."""

    @property
    def load_key(self) -> str:
        """The ledger's id of a load that a retry continues."""
        return self.epoch_key or self.root_run_id

    def cursor_of(self, stage: int, partition: int) -> CursorKey | None:
        """The cursor that moves with each batch of a partition."""
        found = (each for each in self.cursors if (each.stage, each.partition) == (stage, partition))
        return next((self.cursor_key(each) for each in found), None)

    def cursor_key(self, cursor: Cursor) -> CursorKey:
        """The cursor's row, for this target."""
        return CursorKey(self.pipeline_id, cursor.source_node, cursor.name, self.target_node)
