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
    """Whether a column of this name is the engine's own, which no data may have. Other names that begin with two
    underscores are columns like any other."""
    return _INTERNAL.fullmatch(name) is not None


REJECT_SCHEMA = {"row": pl.Int64, "column": pl.String, "value": pl.String, "error": pl.String, "rule": pl.String}
"""Shape of every frame of rejected cells: `value` the offending text, `rule` a short stable id (`type`, `ragged`)."""

DEAD_SCHEMA = {"row": pl.Int64, "place": pl.String, "key": pl.Binary, "value": pl.Binary}
"""Shape of every frame of messages that were rejected, as they came: `place` says where, for people."""

Position = Any
"""A place in a partition where reading can begin: a JSON value that the source makes and only the source reads."""


class Restart(StrEnum):
    """What reading a partition a second time gives."""

    EXACT = "exact"
    """The same rows in the same order, from any position: files, shards, a stored result."""
    BOUNDARY = "boundary"
    """Reading can begin at any position that a batch came with; the rows after it are read as they are now. Key ranges
    of a live table, pages of an API."""
    NONE = "none"
    """Reading can only begin at the start, and may give other rows: a query without a key. Such a partition is read to
    its end into the staging folder before any of its rows is loaded."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One independently readable slice of a source. A process that has only this and the schema can read it.

    `first_row` is the number of its first row. Rows count from 1 across all partitions of a source; where not all
    partitions know their rows, partition n begins at `numbered_from(n)`. `rows` is how many records it holds, or about
    how many where `counted` is false. `location` is what the source needs to find it (JSON values only).
    """

    index: int
    first_row: int
    rows: int
    location: Mapping[str, Any]
    counted: bool = True
    cursor: str | None = None
    """The cursor that moves to each batch's position when the batch is committed, and from which the next run of the
    pipeline goes on: `default`, a shard, a topic's partition."""
    label: str = ""
    """Its name for people, where it is not made of files: `public.orders [2/8]`."""


NUMBERS = 40
"""Bits of a row number that count within a partition, where the rows of the partitions before are not known."""


def numbered_from(index: int) -> int:
    """The number of the first row of a partition, where not all partitions know how many rows they have."""
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
    """About so many where a partition is not `counted`."""
    fingerprint: str | None
    sure: frozenset[str] = frozenset()
    guessed: frozenset[str] = frozenset()
    """Columns of text that nothing declares: the schema has the type that samples of them look like, and any other may
    be chosen for reading."""
    notes: tuple[str, ...] = ()
    """Remarks for people: what was made of names, what some files lack."""
    restart: Restart = Restart.EXACT

    @property
    def counted(self) -> bool:
        """Whether every partition knows how many rows it has."""
        return all(partition.counted for partition in self.partitions)


@dataclass(frozen=True, slots=True)
class Fitting:
    """The narrowest type of the most values of a column, the share of those that are of it, and whether some of them
    begin with zeros, as codes do."""

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
class Wanted:
    """What a plan has a use for. A source may give more, and all of it if that is easiest.

    `columns` are those that are used, and those that are not `sure`, whose values a row may be rejected for; others may
    be left out of a batch's frame. Rows of which one of the `bounds` is not true may be left unread (`Batch.unread`)
    where no row can be rejected.
    """

    columns: frozenset[str]
    bounds: tuple[Bound, ...] = ()
    batch_rows: int | None = None
    """Rows of a batch at most, for a source that restarts at boundaries: nobody else can cut its batches."""


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
    """Rows that are left out for good before this batch, and counted with it: those a `deduplicate` does not keep."""
    unread: bool = False
    """None of its rows was read, because `Wanted.bounds` are true of none; frame and rejects are empty."""
    cells: Callable[[Collection[str]], pl.DataFrame] | None = None
    """Gives columns as they are written in the source, with ROW, where a source knows more than `frame` has."""
    last: bool = False
    """The partition ends with it. Given by the runtime, of partitions that do not know how many rows they have."""
    locate: Callable[[pl.Series], pl.Series] | None = None
    """Gives for row numbers (Int64) of the batch where the row is in the source, for people: `id=42`, an offset."""
    dead: pl.DataFrame | None = None
    """The messages that `rejects` are of, as they came (DEAD_SCHEMA), of a stream: it may not have them any more when
    somebody looks. They are kept in `_headrace.dead_letters` before the batch is committed."""


class Source(Protocol):
    """A place rows come from. Instances are built per run from a source node's config and its connector record.

    A `Discovery` without columns means that they cannot be known: what depends on them is left out of the run.
    """

    @property
    def note(self) -> str | None:
        """A remark for the run's log, if there is one."""

    def discover(self, *, max_partitions: int) -> Discovery:
        """Looks at the source; raises SourceError. Splits into at most `max_partitions`, fewer for small sources."""

    def fingerprint(self) -> str | None:
        """What `discover` would give as the fingerprint now, found without reading the rows. Raises SourceError."""

    def types_of(self, columns: Collection[str]) -> Mapping[str, Fitting]:
        """What all values of columns whose types were guessed look like; reads all of them. Raises SourceError."""

    def sample(self, rows: int) -> pl.DataFrame:
        """The first rows, typed as `discover` would; for previews and type checks."""

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
    """What a source has besides when the next run goes on where the last one ended."""

    def begin_at(self, cursors: Mapping[str, Position]) -> None:
        """Called before `discover`: the positions up to which rows were loaded, by `Partition.cursor`; none at first,
        or when all is to be read again."""


@runtime_checkable
class Narrowing(Protocol):
    """What a source has besides when its server fixes the partitions for the columns and rows that are asked for."""

    def narrowed(self, found: Discovery, wanted: Wanted) -> Discovery:
        """The discovery of this source, with partitions that have what is wanted, or more; they are read for that or
        less. Called at most once, after `discover`, when the columns that the plan needs are known. Raises
        SourceError."""


@runtime_checkable
class Closing(Protocol):
    """What a source has besides when it holds connections: called once, when the run is over in this process."""

    def close(self) -> None: ...


@runtime_checkable
class Copying(Protocol):
    """What a source has besides when `discover` makes copies of the rows outside of this machine, for the run."""

    def keep(self, partitions: Sequence[Partition]) -> None:
        """Called before `discover` of a run that goes on with these partitions: no copies are made, theirs are used."""

    def finish(self) -> None:
        """Removes the copies: the run is over and needs none any more. What cannot be removed is left for the next run;
        nothing is raised."""


@dataclass(frozen=True, slots=True)
class ColumnDetail:
    """What a server says of a column besides its field. `native` is its type as the server writes it; `sure`: every
    value that the column can have can be read as its field."""

    native: str
    sure: bool = True
    nullable: bool = True
    comment: str = ""


@dataclass(frozen=True, slots=True)
class StreamFound:
    """One thing that a connection can be read for: a table, a topic, a file, a folder of files. `settings` is the
    config of a source node that reads it; `fields` are its columns, where they were looked at; `rows` is about how many
    it has; `size` is its bytes and `format` how it is written, of a file."""

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
