"""What a source gives and a target takes: the surface between connectors and the run.

Everything that crosses a process boundary (`Partition`, `Discovery`) is plain JSON data; everything that carries rows
(`Batch`, `Rejects`) is a polars frame and stays inside one partition task.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol

import polars as pl

from ir.schema import Schema

ROW = "__row"
"""Name of the column (Int64) that carries the source row number through every batch; header = row 0, data from 1."""

REJECT_SCHEMA = {"row": pl.Int64, "column": pl.String, "value": pl.String, "error": pl.String, "rule": pl.String}
"""Shape of every frame of rejected cells: `value` the offending text, `rule` a short stable id (`type`, `ragged`)."""


class SourceError(Exception):
    """The source cannot be read at all (missing, empty, undecodable, changed). The text is meant for a person.

    `code` is stable (`file_not_found`, `empty_file`, `bad_encoding`, `source_changed`, ...), `hint` says the mend.
    """

    file: str | None = None
    """The one file that cannot be read, by the name it arrived under, where it is a file's fault."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.code, self.message, self.hint = code, message, hint

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors come back from other processes as they were raised there."""
        return type(self), (self.code, self.message, self.hint), {"file": self.file}


class TargetError(Exception):
    """The target cannot take the load at all (no such table, missing column, ...). Same fields as SourceError."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.code, self.message, self.hint = code, message, hint

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, self.message, self.hint)


@dataclass(frozen=True, slots=True)
class Partition:
    """One independently readable slice of a source.

    `first_row` is the source row number of its first row (rows count from 1 across all partitions of one source);
    `rows` is how many records it holds; `location` is what the source needs to find it again (JSON values only).
    """

    index: int
    first_row: int
    rows: int
    location: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a source is before a byte is loaded: typed columns, partitions, total rows and a fingerprint.

    `fingerprint` changes when the source does (size, mtime, ...); a retry compares it with the stored one. `sure` are
    the columns of which every value can be read, so that no row is rejected for them: text, and what the source itself
    has in that type.
    """

    schema: Schema
    partitions: Sequence[Partition]
    total_rows: int
    fingerprint: str
    sure: frozenset[str] = frozenset()


Comparison = Literal["<", "<=", "=", ">=", ">"]


@dataclass(frozen=True, slots=True)
class Bound:
    """A comparison of a column with a value of its own type (int, Decimal, str, date or datetime); not true of null."""

    column: str
    comparison: Comparison
    value: Any

    def __str__(self) -> str:
        value = self.value if isinstance(self.value, int | Decimal) else f"'{self.value}'"
        return f"{self.column} {self.comparison} {value}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a plan has a use for. A source may give more, and all of it if that is easiest.

    `columns` are those that are used, and those that are not `sure`, whose values a row may be rejected for; others may
    be left out of a batch's frame. Rows of which one of the `bounds` is not true may be left unread (`Batch.unread`)
    where no row can be rejected.
    """

    columns: frozenset[str]
    bounds: tuple[Bound, ...] = ()


def no_rejects() -> pl.DataFrame:
    """An empty frame of rejected cells."""
    return pl.DataFrame(schema=REJECT_SCHEMA)


@dataclass(slots=True)
class Batch:
    """Some consecutive rows of one partition.

    `frame` holds the readable rows: the columns of the source schema that are wanted, plus ROW. `rejects` names what
    was wrong with the rows that are not in `frame`, one line per offending cell (REJECT_SCHEMA). `rows` is the number
    of source records the batch covers: `frame.height` + the number of distinct rejected rows, or those that were left
    `unread`. `rows_done` is how many records of the partition are done with once this batch is (where a resumed read
    starts from), `position` an optional short cut to it.
    """

    frame: pl.DataFrame
    rows: int
    rows_done: int
    rejects: pl.DataFrame = field(default_factory=no_rejects)
    position: int | None = None
    gone: int = 0
    """Rows that are left out for good before this batch, and counted with it: those a `deduplicate` does not keep."""
    unread: bool = False
    """None of its rows was read, because `Wanted.bounds` are true of none; frame and rejects are empty."""


class Source(Protocol):
    """A place rows come from. Instances are built per run from a source node's config and its connector record.

    A `Discovery` without columns means that they cannot be known: what depends on them is left out of the run.
    """

    @property
    def note(self) -> str | None:
        """A remark for the run's log, if there is one."""

    def discover(self, *, max_partitions: int) -> Discovery:
        """Looks at the source; raises SourceError. Splits into at most `max_partitions`, fewer for small sources."""

    def fingerprint(self) -> str:
        """What `discover` would give as the fingerprint now, found without reading the rows. Raises SourceError."""

    def sample(self, rows: int) -> pl.DataFrame:
        """The first rows, typed as `discover` would; for previews and type checks."""

    def read(
        self,
        partition: Partition,
        schema: Schema,
        *,
        wanted: Wanted | None = None,
        rows_done: int = 0,
        position: int | None = None,
    ) -> Iterator[Batch]:
        """Yields the partition's batches behind `rows_done`, in order, with bounded memory; of all there is, unless it
        is told what is `wanted`. Raises SourceError."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a partition's load stands, as committed: the ledger row (all zero when there is none yet)."""

    rows_done: int = 0
    rows_loaded: int = 0
    rows_failed: int = 0
    rows_skipped: int = 0
    position: int | None = None
    counters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Written:
    """What one `write` committed: rows now in the table, and the cells the database refused (REJECT_SCHEMA).

    `held` counts rows that are committed but kept back from the table until the load mode publishes them, `skipped`
    those that the load mode leaves out.
    """

    loaded: int
    rejects: pl.DataFrame
    held: int = 0
    skipped: int = 0


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
    """What else became of the table, for the run's log."""


class PublishCallback(Protocol):
    """Called inside a publication's transaction, just before the commit; returns the ledger row to store."""

    def __call__(self, published: Published) -> Resume: ...


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Rows that a validate node keeps aside in `table`: `row_number` (Int64), `rule`, `error`, `row` (JSON text)."""

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
        """Where the partition stands, as committed."""

    def __enter__(self) -> PartitionLoader: ...

    def __exit__(self, *exc: object) -> None: ...

    def write(self, frame: pl.DataFrame, on_commit: CommitCallback, quarantined: Sequence[Quarantined] = ()) -> Written:
        """Loads one batch, keeps `quarantined` rows aside and moves the ledger row, in one transaction.

        `frame` holds exactly the columns of the target's conformed schema plus ROW (which is not loaded). An empty
        frame still moves the ledger. Retries transient database errors itself; raises TargetError when it cannot go on.
        """
