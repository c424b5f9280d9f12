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
from headrace.connectors.sql.judge import Query
from headrace.connectors.sql.relation import Column, Relation, Scalar, TableName
from headrace.connectors.sql.select import Asked, Select


class Dialect(Protocol):
    """One system, at one address, for one source."""

    title: str
    """For people: `PostgreSQL`."""
    parser: str
    """sqlglot's name of its SQL: `postgres`."""
    compares_rows: bool
    """Whether `(a, b) > (1, 2)` uses an index there."""
    note: str | None
    """A remark for the run's log about what could not be had: a snapshot that is gone."""

    # --- what is there

    def table(self, name: TableName) -> Relation:
        """A table or a view with its columns, its key and about how many rows it has. Raises SourceError: with the
        nearest names where there is none."""

    def query(self, query: Query, parameters: dict[str, Scalar]) -> Relation:
        """A query with its columns; it is planned by the server, not run. Raises SourceError."""

    def streams(self, text: str) -> Sequence[StreamFound]:
        """The tables and views that may be read and whose name contains a text, without columns."""

    def estimate(self, select: Select) -> int | None:
        """About how many rows a statement gives, as its planner thinks; None where that is not known."""

    def cuts(self, relation: Relation, column: Column, parts: int) -> Sequence[Scalar]:
        """Values that cut a column into that many parts of about the same number of rows, or fewer: ascending by the
        server's own order, none twice, none null. None where nothing is known."""

    def own_ranges(self, relation: Relation, parts: int) -> Sequence[Any]:
        """Ranges of another kind than a key's (pages), as JSON: together all rows, each in one. None where there are
        none."""

    def newest(self, relation: Relation, column: Column, lag: float | str | None) -> Scalar:
        """Up to where a cursor is read now: the server's present less the lag for times, else the greatest value that
        is there less the lag. None: there is nothing to read. Raises SourceError(`bad_option`) for a lag that does not
        fit the column."""

    def without(self, relation: Relation, columns: Sequence[Column]) -> int:
        """How many rows have null in one of the columns."""

    # --- SQL

    def quote(self, name: str) -> str:
        """A column's or a table's name, whatever is in it."""

    def literal(self, column: Column, value: Scalar) -> str:
        """A value of a column, of its very type."""

    def expression(self, asked: Asked) -> str:
        """How a column is selected."""

    def within(self, own: Any) -> str:
        """The condition for one of the `own_ranges`. Raises SourceError for what is none: it comes from JSON."""

    def bound(self, column: Column, bound: Bound) -> str | None:
        """A comparison that is true at the server of every row of which it is true in the engine; None where it cannot
        be pushed down."""

    def unreadable(self, column: Column) -> str | None:
        """The condition for values of a column that is not `sure` that cannot be read: such rows are reported, wanted
        or not. None where the server cannot check it; then nothing is pushed down."""

    # --- rows

    def hold_snapshot(self) -> str | None:
        """The name of a snapshot that other connections can read, held until `close`; None where there is none."""

    def read(self, select: Select, *, rows: int, snapshot: str | None) -> Iterator[pl.DataFrame]:
        """The rows in frames of at most `rows` rows and with bounded memory. The columns are those asked for, in that
        order: text as the server writes it (pl.String), or a type that holds every value exactly; as text where
        `as_declared`. Without the snapshot, if it is gone, and then `note` says so."""

    def close(self) -> None:
        """Ends the connections of this process."""


@runtime_checkable
class Weighing(Protocol):
    """What a dialect has besides where values that differ may be the same to the server: a text in small letters."""

    def weight(self, relation: Relation, column: Column) -> Column | None:
        """What the server compares in the stead of a column, as a column to be selected; None where it is the value.
        Raises SourceError for a column that rows cannot be read on from."""


@runtime_checkable
class Explaining(Protocol):
    """What a dialect has besides where it knows why a value cannot be read, and the mend."""

    def explain(self, rejects: pl.DataFrame, columns: Mapping[str, Column]) -> pl.DataFrame:
        """Rejected cells (REJECT_SCHEMA) with what is known of them; `columns` by the names of the source's fields."""
