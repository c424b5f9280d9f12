"""What a load needs to know about its run and its target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a batch is tried when the database fails for a moment; pauses double from `first_pause` seconds."""

    attempts: int = 6
    first_pause: float = 0.5
    longest_pause: float = 30.0

    def pause(self, attempt: int) -> float:
        """Seconds to wait behind the failed attempt of this number (from 1)."""
        return float(min(self.longest_pause, self.first_pause * 2 ** (attempt - 1)))


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """`table` is `schema.table`; `columns` are those the batches have, in any order; `database_url` is a libpq URL.

    `root_run_id` is the first run of a chain of retries (the ledger's key), `run_id` the present one (the load's).
    A replay of failed rows has an `origin_run_id`: the root of the runs in which they failed. A row that it loads goes
    from the `quarantine_tables`, but for what the nodes `quarantining_elsewhere` keep: they are on other ways of it.
    `planned_rows` are the source rows of the whole load, the same in every attempt; `staged_rows` are those that must
    have been dealt with before anything of them is published (None: whatever there is), or say so then, where it is not
    known before.
    """

    database_url: str
    table: str
    columns: tuple[str, ...]
    root_run_id: str
    run_id: str
    pipeline_id: str
    ir_version: int
    target_node: str
    origin_run_id: str | None = None
    quarantine_tables: tuple[str, ...] = ()
    quarantining_elsewhere: tuple[str, ...] = ()
    planned_rows: int = 0
    staged_rows: int | Callable[[], int] | None = None
    upsert_key: tuple[str, ...] = ()
    watermark_column: str | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
