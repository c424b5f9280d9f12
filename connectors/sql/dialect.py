"""The interface that a database system implements for `SqlSource`.

A dialect holds the connections of one source. Its reads may run in several threads at the same time, and in a process
that was forked from the one that discovered. It is created from a `Context` without connecting;
whatever cannot be done is a `SourceError`: `connection_failed`, `connection_lost` (reading can be tried
again), `missing_table`, `not_permitted`, `timed_out`, `query_failed`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import polars as pl

from headrace.connectors.source import Bound, StreamFound
from headrace.connectors.sql.query_validation import Query
from headrace.connectors.sql.relation import Column, Relation, Scalar, TableName
from headrace.connectors.sql.select import Asked, Select


class Dialect(Protocol):
    """One database system at one address, for one source."""

    title: str
    """The displayed name: `PostgreSQL`."""
    parser: str
    """sqlglot's name of its SQL: `postgres`."""
    compares_rows: bool
    """Whether `(a, b) > (1, 2)` uses an index."""
    note: str | None
    """A note for the run's log, for example about a snapshot that no longer exists."""

    # --- metadata

    def table(self, name: TableName) -> Relation:
        """A table or a view with its columns, its key and its estimated number of rows. Raises SourceError, with the
        nearest names if there is none."""

    def query(self, query: Query, parameters: dict[str, Scalar]) -> Relation:
        """A query with its columns; the server plans it and does not run it. Raises SourceError."""

    def streams(self, text: str) -> Sequence[StreamFound]:
        """The tables and views that may be read and whose name contains a text, without columns."""

    def estimate(self, select: Select) -> int | None:
        """The planner's estimate of a statement's rows; None if unknown."""

    def cuts(self, relation: Relation, column: Column, parts: int) -> Sequence[Scalar]:
        """Values that split a column into at most that many parts of about the same number of rows: ascending in the
        server's order, distinct, not null. None without statistics."""

    def own_ranges(self, relation: Relation, parts: int) -> Sequence[Any]:
        """Ranges of another kind than a key's (pages), as JSON: disjoint, and together all rows. None if the system has
        none."""

    def newest(self, relation: Relation, column: Column, lag: float | str | None) -> Scalar:
        """The upper bound of a cursor: the server's current time less the lag for times, else the greatest value less
        the lag. None if there is nothing to read. Raises SourceError(`bad_option`) for a lag that does not fit the
        column."""

    def without(self, relation: Relation, columns: Sequence[Column]) -> int:
        """The number of rows with null in one of the columns."""

    # --- SQL

    def quote(self, name: str) -> str:
        """A quoted name of a column or a table."""

    def literal(self, column: Column, value: Scalar) -> str:
        """A value of a column as a literal of the same type."""

    def expression(self, asked: Asked) -> str:
        """The expression that selects a column."""

    def within(self, own: Any) -> str:
        """The condition for one of the `own_ranges`, which comes from JSON. Raises SourceError for an invalid one."""

    def bound(self, column: Column, bound: Bound) -> str | None:
        """A condition that is true on the server for every row for which it is true in the engine; None if it cannot be
        pushed down."""

    def unreadable(self, column: Column) -> str | None:
        """The condition for unreadable values of a column that is not `sure`: such rows are reported, even if filtered.
        None if the server cannot check it; then nothing is pushed down."""

    # --- rows

    def hold_snapshot(self) -> str | None:
        """The name of a snapshot that other connections can read, held until `close`; None if the system has none."""

    def read(self, select: Select, *, rows: int, snapshot: str | None) -> Iterator[pl.DataFrame]:
        """The rows in frames of at most `rows` rows, with bounded memory. Columns are in the selected order: the
        server's text (pl.String), or a type that holds every value exactly; text where `as_declared`. If the snapshot
        no longer exists, reads without it and sets `note`."""

    def close(self) -> None:
        """Closes the connections of this process."""


@runtime_checkable
class Weighing(Protocol):
    """Implemented by dialects whose server treats different values as equal, such as texts that differ in case."""

    def weight(self, relation: Relation, column: Column) -> Column | None:
        """The value that the server compares instead of a column's, as a column to select; None if it is the value
        itself. Raises SourceError for a column that cannot be a position."""


@runtime_checkable
class Explaining(Protocol):
    """Implemented by dialects that know why a value cannot be read."""

    def explain(self, rejects: pl.DataFrame, columns: Mapping[str, Column]) -> pl.DataFrame:
        """Rejected cells (REJECT_SCHEMA) with reasons added; `columns` by the names of the source's fields."""


@runtime_checkable
class PassingRows(Protocol):
    """What a dialect has besides where a PostgreSQL takes its rows as they are: see `connectors.source.Passed`."""

    def passes(self, column: Column) -> bool:
        """Whether the values of a column can be passed on."""

    def passes_key(self, column: Column) -> bool:
        """Whether `last_values` knows the values of a column."""

    def passed(
        self, select: Select, beside: int, *, rows: int, snapshot: str | None
    ) -> Iterator[tuple[pl.DataFrame, list[Scalar]]]:
        """The rows as frames of the column PASSED, of at most `rows` rows, and of each the values of `select.order` in
        its last row. Its fields are those asked for, in that order, and so many of BESIDE. Raises NotPassed."""
