"""What an op, a rule or a target's column list compiles to: one row-local step over a frame.

A step does three things, in this order: its `checks` are evaluated on the incoming columns and rows that fail one
leave, then rows that `keep` does not hold for leave, then `columns`/`reshape` change the columns of those that stay.
Every part sees one row at a time, so a step gives the same result however the rows are cut into batches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

from flows.compile.broadcast import Broadcast
from flows.compile.gather import Gather
from flows.compile.provenance import Provenance
from flows.compile.types import Columns, Shape, schema_of, types_of

OnFail = Literal["quarantine", "skip", "warn", "abort", "note"]
"""What becomes of a row: it is an error row, it is skipped, it goes on and is told, it ends the run, it goes on and is
only counted."""


@dataclass(frozen=True, slots=True)
class Check:
    """A condition on a row. `fails` is a Boolean expression that is never null, `value` the offending value as text;
    `reads` are the tables it looks rows up in."""

    rule: str
    column: str
    fails: pl.Expr
    value: pl.Expr
    message: str | pl.Expr
    on_fail: OnFail = "quarantine"
    reads: tuple[Broadcast, ...] = ()

    @property
    def expressions(self) -> tuple[pl.Expr, ...]:
        """All that it looks at a row with."""
        return (self.fails, self.value) if isinstance(self.message, str) else (self.fails, self.value, self.message)


@dataclass(frozen=True, slots=True)
class Step:
    """One row-local change of a frame. `label` is for people and plans; `path` is the place in the document.

    `conceals` names the columns whose values the step hides. `origins` says, for a `reshape`, where columns come from
    whose name it changes (name behind it → name before); None: nobody knows. `private` is set by the compiler: what
    goes wrong here must be told without values.
    """

    node: str
    path: str
    label: str
    checks: tuple[Check, ...] = ()
    keep: pl.Expr | None = None
    columns: tuple[pl.Expr, ...] = ()
    reshape: Callable[[pl.LazyFrame], pl.LazyFrame] | None = None
    origins: Mapping[str, str] | None = None
    conceals: tuple[str, ...] = ()
    private: bool = False
    reads: tuple[Broadcast, ...] = ()
    gather: Gather | None = None
    """What the step needs all rows for; it does nothing else then, and a stage ends before it."""
    hidden: frozenset[str] = frozenset()
    """The columns behind a gather whose values must not be shown; set by the compiler."""
    copies: int = 1
    """How many rows `reshape` makes of each; it numbers them then."""
    alone: bool = False
    """Whether no step may share a query with it: what it does takes long, and must not be done again because of a row
    that fails at another."""
    provenance: Provenance | None = None
    """Where the columns that `reshape` or `gather` makes come from, and what decides about rows, where that is more
    than the expressions and `origins` say."""

    @property
    def broadcasts(self) -> tuple[Broadcast, ...]:
        """The tables that must be in memory before the step sees a row."""
        return self.reads + tuple(broadcast for check in self.checks for broadcast in check.reads)

    def apply(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """The column changes alone, without checks and without `keep`."""
        if self.gather is not None:
            return self.gather.apply([frame])
        if self.columns:
            frame = frame.with_columns(self.columns)
        return self.reshape(frame) if self.reshape is not None else frame

    @property
    def reshapes(self) -> bool:
        """Whether what it makes of the columns is only known by running it on no rows."""
        return self.gather is not None or self.reshape is not None

    def schema_behind(self, *before: Columns) -> pl.Schema:
        """The columns behind it, found by running it on no rows; a join has two inputs. Raises polars errors."""
        return schema_of(self.shape_behind(*map(Shape, before)).columns)

    def shape_behind(self, *before: Shape) -> Shape:
        """The same, of columns as a chain of steps hands them on."""
        if not self.reshapes:
            return before[0].changed(types_of(self.columns, before[0].columns)) if self.columns else before[0]
        frames = [shape.frame.lazy() for shape in before]
        made = self.apply(frames[0]) if self.gather is None else self.gather.apply(frames)
        return Shape.of(made.collect())
