"""The interface of a source: the contract between a connector and the run.

Everything that crosses a process boundary (`Partition`, `Discovery`) is plain JSON data; everything that carries rows
(`Batch`, rejects) is a polars frame and stays inside one partition task.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, Protocol, runtime_checkable

import polars as pl

from headrace.ir.schema import DataType, Schema

ROW = "__row"
"""Name of the column (Int64) that carries the source row number through every batch; header = row 0, data from 1."""

_INTERNAL = re.compile(
    r"__(?:row|right|route|keep|bucket|f\d+_\d+|k\d+|key\d+|list|turn|hit|place|pair|answer|headrace_.*|repeated .*"
    r"|raw .*)"
)


def reserved(name: str) -> bool:
    """Whether the name is reserved for the engine, so that data may not have it. Other names with two leading
    underscores are ordinary columns."""
    return _INTERNAL.fullmatch(name) is not None


PASSED = "__headrace_passed"
"""Name of the column (Binary) of rows that are passed on as the server wrote them: one row of a binary COPY each."""

REJECT_SCHEMA = {"row": pl.Int64, "column": pl.String, "value": pl.String, "error": pl.String, "rule": pl.String}
"""Shape of every frame of rejected cells: `value` the offending text, `rule` a short stable id (`type`, `ragged`)."""

DEAD_SCHEMA = {"row": pl.Int64, "place": pl.String, "key": pl.Binary, "value": pl.Binary}
"""Shape of every frame of rejected messages, unchanged: `place` describes the position."""

Position = Any
"""A position in a partition where reading can begin: a JSON value that only the source interprets."""


class Restart(StrEnum):
    """The guarantee when a partition is read a second time."""

    EXACT = "exact"
    """The same rows in the same order, from any position: files, shards, a stored result."""
    BOUNDARY = "boundary"
    """Reading can begin at any batch's position; the rows after it are read in their current state. Key ranges of a
    live table, pages of an API."""
    NONE = "none"
    """Reading can only begin at the start and may return other rows: a query without a key. Such a partition is read to
    its end into the staging folder before any of its rows is loaded."""


READER_NOTES = "readerNotes"


@dataclass(frozen=True, slots=True)
class Partition:
    """One independently readable slice of a source. A process that has only this and the schema can read it.

    `first_row` is the number of its first row. Rows count from 1 across all partitions of a source; where not all
    partitions know their rows, partition n begins at `numbered_from(n)`. `rows` is how many records it holds, or about
    how many where `counted` is false. `location` is what the source needs to find it (JSON values only),
    and what it has noted for itself under READER_NOTES, which plans do not show.
    """

    index: int
    first_row: int
    rows: int
    location: Mapping[str, Any]
    counted: bool = True
    cursor: str | None = None
    """The name of the cursor that moves to each committed batch's position, from which the pipeline's next run
    continues: `default`, a shard, a topic's partition."""
    label: str = ""
    """Its displayed name, if it does not consist of files: `public.orders [2/8]`."""


NUMBERS = 40
"""Bits of a row number for the row within a partition, if the rows of earlier partitions are not known."""


def numbered_from(index: int) -> int:
    """The number of the first row of a partition, if not all partitions know their number of rows."""
    return (index << NUMBERS) + 1


@dataclass(frozen=True, slots=True)
class Discovery:
    """What a source is before a byte is loaded: typed columns, partitions, total rows and a fingerprint.

    `fingerprint` changes when the source does (size, mtime, ...); a retry compares it with the stored one. None: the
    source is live, and is never compared. `sure` are the columns of which every value can be read, so that no row is
    rejected for them: text, and what the source itself has in that type.
    """

    schema: Schema
    partitions: Sequence[Partition]
    total_rows: int
    """An estimate if a partition is not `counted`."""
    fingerprint: str | None
    sure: frozenset[str] = frozenset()
    guessed: frozenset[str] = frozenset()
    """Undeclared text columns: the schema has the type inferred from samples, and another type may be chosen for
    reading."""
    notes: tuple[str, ...] = ()
    """Notes for the log: changed names, columns that some files lack."""
    restart: Restart = Restart.EXACT
    lacking: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By file, the columns that it does not have though the schema has them, where the settings do not say that they
    are null then."""

    @property
    def counted(self) -> bool:
        """Whether every partition knows how many rows it has."""
        return all(partition.counted for partition in self.partitions)


@dataclass(frozen=True, slots=True)
class Fitting:
    """The narrowest type that fits most values of a column, the share of values that fit, and whether some begin with
    zeros, as codes do."""

    data_type: DataType
    share: float
    padded: bool = False


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
class Passed:
    """Rows as the server writes them in a binary COPY: a batch's frame has PASSED and ROW and nothing else.

    Each row has the fields `columns` in that order. Behind them are `BESIDE[:beside]`, all zero, which the target
    fills in. A source raises NotPassed where a value of a row is none of its field's.
    """

    columns: tuple[str, ...]
    beside: int


BESIDE = (("_headrace_load_id", 8), ("_headrace_row", 8), ("_headrace_partition", 4))
"""The columns of a target (bigint, bigint, integer) that are filled in behind passed rows, and their bytes."""


@dataclass(frozen=True, slots=True)
class Passable:
    """The columns of a source whose rows can be passed, by the names of the fields: the type of each as PostgreSQL
    writes it. `needed` are those that must be among them, because positions are made of them."""

    types: Mapping[str, str]
    needed: frozenset[str] = frozenset()


class NotPassed(Exception):
    """Rows cannot be passed on as they are; nothing of the batch was loaded. The partition is to be read on from where
    it stands with values that are looked at."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a plan has a use for. A source may give more, and all of it if that is easiest.

    `columns` are those that are used, and those that are not `sure`, whose values a row may be rejected for; others may
    be left out of a batch's frame. Rows of which one of the `bounds` is not true may be left unread (`Batch.unread`)
    where no row can be rejected.
    """

    columns: frozenset[str]
    bounds: tuple[Bound, ...] = ()
    batch_rows: int | None = None
    """The most rows of a batch, for a source that restarts at boundaries: its batches cannot be cut elsewhere."""
    passed: Passed | None = None
    """Only of a source that is `Passing`: its rows are wanted in this form, and no others."""


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
    position: Position | None = None
    gone: int = 0
    """Rows removed for good before this batch, and counted with it: those a `deduplicate` does not keep."""
    unread: bool = False
    """No row was read, because no row satisfies `Wanted.bounds`; frame and rejects are empty."""
    cells: Callable[[Collection[str], pl.Series], pl.DataFrame] | None = None
    """Returns columns as texts of the source, with ROW, if the source has more detail than `frame`: for the rows of
    these numbers (Int64, each once) that are in the batch."""
    last: bool = False
    """Whether the partition ends with it. Set by the runtime, for partitions that do not know their number of rows."""
    locate: Callable[[pl.Series], pl.Series] | None = None
    """Returns the source position of row numbers (Int64) of the batch, for messages: `id=42`, an offset."""
    dead: pl.DataFrame | None = None
    """The messages of `rejects`, unchanged (DEAD_SCHEMA), for streams, which delete old messages. They are stored in
    `_headrace.dead_letters` before the batch is committed."""


class Source(Protocol):
    """A source of rows. Instances are built per run from a source node's config and its connector record.

    A `Discovery` without columns means that they cannot be known: what depends on them is left out of the run.
    """

    @property
    def note(self) -> str | None:
        """A note for the run's log, if any."""

    def discover(self, *, max_partitions: int) -> Discovery:
        """Inspects the source and splits it into at most `max_partitions`, fewer for small sources. Raises
        SourceError."""

    def fingerprint(self) -> str | None:
        """The current fingerprint, as in `discover`, without reading the rows. Raises SourceError."""

    def types_of(self, columns: Collection[str]) -> Mapping[str, Fitting]:
        """The types that fit all values of columns with inferred types; reads all values. Raises SourceError."""

    def sample(self, rows: int) -> pl.DataFrame:
        """The first rows, typed like `discover`; for previews and type checks."""

    def read(
        self,
        partition: Partition,
        schema: Schema,
        *,
        wanted: Wanted | None = None,
        rows_done: int = 0,
        position: Position | None = None,
    ) -> Iterator[Batch]:
        """Yields the partition's batches after the first `rows_done` rows, in order, with bounded memory; all columns
        and rows unless it is given what is `wanted`. `position` is that of the last committed batch, as JSON gave it
        back. Numbers rows from `partition.first_row + rows_done`. Raises SourceError."""


@runtime_checkable
class Incremental(Protocol):
    """Implemented by sources whose next run continues where the last one ended."""

    def begin_at(self, cursors: Mapping[str, Position]) -> None:
        """Called before `discover` with the positions up to which rows were loaded, by `Partition.cursor`; empty at
        first, or to read everything again."""


@runtime_checkable
class Acknowledging(Protocol):
    """Implemented by sources whose server keeps what was not loaded yet: a spool, a replication slot."""

    def acknowledge(self, cursors: Mapping[str, Position]) -> None:
        """Called when a run or an epoch begins (after `begin_at`) and when it has ended, never for a plan or a preview,
        with the positions up to which rows are committed for all targets, by `Partition.cursor`; perhaps with the same
        ones again. The source may remove what is before them. Raises SourceError."""


@runtime_checkable
class Narrowing(Protocol):
    """Implemented by sources whose server determines the partitions by the requested columns and rows."""

    def narrowed(self, found: Discovery, wanted: Wanted) -> Discovery:
        """The discovery with partitions that have the wanted columns and rows, or more; they are read for these or
        fewer. Called at most once, after `discover`, when the columns that the plan needs are known. Raises
        SourceError."""


@runtime_checkable
class Describing(Narrowing, Protocol):
    """What such a source has besides when `discover` itself would have its server do the work of a read."""

    def described(self, *, max_partitions: int) -> Discovery:
        """As `discover`, without partitions: for a run that goes on with those it has, or gets them of `narrowed`,
        which is called behind it. Raises SourceError."""


@runtime_checkable
class Passing(Protocol):
    """What a source has besides when its server is a PostgreSQL, whose rows another one can take as they are."""

    def passable(self, found: Discovery) -> Passable:
        """What can be passed of all partitions of a discovery of this source; no types where nothing can. Raises
        SourceError."""


@runtime_checkable
class Closing(Protocol):
    """Implemented by sources that hold connections: called once, when the run is over in this process."""

    def close(self) -> None: ...


@runtime_checkable
class Copying(Protocol):
    """Implemented by sources whose `discover` copies rows outside this machine for the run."""

    def keep(self, partitions: Sequence[Partition]) -> None:
        """Called before `discover` of a run that continues with these partitions: their copies are used, and no new
        ones are made."""

    def finish(self) -> None:
        """Removes the copies at the end of the run. Copies that cannot be removed are left for the next run; nothing is
        raised."""


@dataclass(frozen=True, slots=True)
class ColumnDetail:
    """A server's metadata of a column besides its field. `native` is the server's type name; `sure`: every possible
    value can be read as its field."""

    native: str
    sure: bool = True
    nullable: bool = True
    comment: str = ""


@dataclass(frozen=True, slots=True)
class StreamFound:
    """A stream of a connection: a table, a topic, a file, a folder of files. `settings` is the config of a source node
    that reads it; `fields` are its columns, if inspected; `rows` is an estimate; `size` (bytes) and `format` are those
    of a file."""

    name: str
    settings: Mapping[str, Any]
    kind: str = "table"
    fields: Schema | None = None
    rows: int | None = None
    key: tuple[str, ...] = ()
    comment: str = ""
    size: int | None = None
    format: str | None = None
    guessed: frozenset[str] = frozenset()
    """As in Discovery."""
    details: Mapping[str, ColumnDetail] = field(default_factory=dict)
    """By the names of `fields`, where a server reports more about them."""
    sampled: int | None = None
    """The number of documents that `fields` are of, where a server knows no columns and not all documents were read."""

    @property
    def remark(self) -> str:
        """The server's comment, and of how many documents the columns are."""
        if self.sampled is None:
            return self.comment
        said = f"as in {self.sampled:,} documents that were sampled: others may have more"
        return f"{self.comment}; {said}" if self.comment else said
