"""The interface of a target: the contract between a load mode and the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import polars as pl

from headrace.connectors.source import Position, no_rejects


@dataclass(frozen=True, slots=True)
class Resume:
    """A partition's committed progress: the ledger row (all zero when there is none yet)."""

    rows_done: int = 0
    rows_loaded: int = 0
    rows_failed: int = 0
    rows_skipped: int = 0
    position: Position | None = None
    counters: Mapping[str, Any] = field(default_factory=dict)
    version: int = field(default=0, compare=False)
    """How often the ledger row was moved; set by its writers."""
    finished: bool = False
    """The partition was read to its end."""


@dataclass(frozen=True, slots=True)
class Written:
    """What one `write` committed: rows now in the table, and the cells the database refused (REJECT_SCHEMA).

    `held` counts rows that are committed but kept back from the table until the load mode publishes them, `skipped`
    those that the load mode or the database leaves out. `kept_out` are those of `skipped` that a trigger of the table
    kept out, `passed_on` those of `loaded` that triggers or rules may have inserted into tables that inherit from it,
    `sent_again` those that an API may have got twice. `notes` are for the run's log.
    """

    loaded: int
    rejects: pl.DataFrame
    held: int = 0
    skipped: int = 0
    kept_out: int = 0
    passed_on: int = 0
    sent_again: int = 0
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Published:
    """What one publication does with the rows that were held back: `loaded + skipped` + refused rows = its rows.

    `rejects` has the columns of REJECT_SCHEMA and `partition` (Int32), the partition each row came with. In a replay,
    `settled` are the numbers of the rows that need not be run again, whether loaded or superseded.
    """

    loaded: int
    skipped: int = 0
    rejects: pl.DataFrame = field(default_factory=lambda: no_rejects().with_columns(partition=pl.lit(0, pl.Int32)))
    settled: Sequence[int] = ()
    note: str | None = None
    """Other changes of the table, for the run's log."""
    kept_out: int = 0
    """Those of `skipped` that a trigger of the table kept out."""


class PublishCallback(Protocol):
    """Called inside a publication's transaction, just before the commit; returns the ledger row to store."""

    def __call__(self, published: Published) -> Resume: ...


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Rows that a validate node quarantines in `table`: `row_number` (Int64), `rule`, `error`, `row` (JSON text)."""

    table: str
    node: str
    rows: pl.DataFrame


class CommitCallback(Protocol):
    """Called inside `write`, just before the commit, with what the database refused; returns the ledger row to store.

    Whatever it records elsewhere (errors, quarantine) is therefore there before the rows are, and a replayed batch
    records the same keys again.
    """

    def __call__(self, written: Written) -> Resume: ...


class PartitionLoader(Protocol):
    """Loads one partition of a stage into one target; used from one thread, as a context manager."""

    @property
    def resume(self) -> Resume:
        """The partition's committed progress."""

    def __enter__(self) -> PartitionLoader: ...

    def __exit__(self, *exc: object) -> None: ...

    def write(self, frame: pl.DataFrame, on_commit: CommitCallback, quarantined: Sequence[Quarantined] = ()) -> Written:
        """Loads one batch, stores `quarantined` rows and moves the ledger row, in one transaction.

        `frame` holds exactly the columns of the target's conformed schema plus ROW (which is not loaded). An empty
        frame still moves the ledger. Retries transient database errors itself; raises TargetError when it cannot
        continue."""
