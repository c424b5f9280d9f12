"""A step: what an op, a rule or a target's column list compiles to.

A step does three things, in this order: it evaluates `checks` on the incoming columns and removes rows that fail one,
removes rows for which `keep` is not true, and changes the columns of the others by `columns` and `reshape`. Every part
sees one row at a time, so the result does not depend on how rows are cut into batches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from headrace.connectors.source import ROW
from headrace.flows.compile.expression_types import Columns, Shape, schema_of, types_of
from headrace.flows.compile.provenance import Provenance
from headrace.flows.compile.reference_tables import Broadcast
from headrace.flows.compile.shuffle import Shuffle

OnFail = Literal["quarantine", "skip", "warn", "abort", "note"]
"""What happens to a row that fails: `quarantine`, it is an error row; `skip`, it is left out; `warn`, it is kept and
reported; `abort`, the run ends; `note`, it is kept and only counted."""


@dataclass(frozen=True, slots=True)
class Check:
    """A condition on a row. `fails` is a Boolean expression that is never null, `value` the offending value as text;
    `reads` are its lookup tables."""

    rule: str
    column: str
    fails: pl.Expr
    value: pl.Expr
    message: str | pl.Expr
    on_fail: OnFail = "quarantine"
    reads: tuple[Broadcast, ...] = ()
    derived: bool = False
    """Whether `value` is only a part of the cell."""

    @property
    def expressions(self) -> tuple[pl.Expr, ...]:
        """All expressions that it evaluates."""
        return (self.fails, self.value) if isinstance(self.message, str) else (self.fails, self.value, self.message)


@dataclass(frozen=True, slots=True)
class Step:
    """One row-local change of a frame. `label` is shown in plans; `path` is the place in the document.

    `conceals` names the columns whose values the step hides. `origins` gives, for a `reshape`, the columns that it
    renames (output name → input name); None: not known. `private` is set by the compiler: errors of this step must be
    reported without values.
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
    shuffle: Shuffle | None = None
    """Set for a step that needs all rows with equal keys together; it does nothing else, and a stage ends before it."""
    hidden: frozenset[str] = frozenset()
    """The output columns of a shuffle whose values must not be shown; set by the compiler."""
    copies: int = 1
    """How many rows at most `reshape` makes of each; if more than one, `reshape` numbers them."""
    alone: bool = False
    """Whether it runs in a separate query: it takes long, and must not be repeated because a row fails at another
    step."""
    types: Mapping[str, pl.DataType] | None = None
    """The types of `columns` where they are known: an author's expression is never computed to find them."""
    same: frozenset[str] = frozenset()
    """Output columns that hold the same cells as the column they are made from, at most read as another type."""
    cells: Mapping[str, str] = field(default_factory=dict)
    """Of the columns that its checks report, those that hold cells of a source column → that source column; set by the
    compiler."""
    provenance: Provenance | None = None
    """Where the columns that `reshape` or `shuffle` makes come from, and which columns decide about rows, where the
    expressions and `origins` do not show it."""

    @property
    def broadcasts(self) -> tuple[Broadcast, ...]:
        """The lookup tables that must be loaded before the step runs."""
        return self.reads + tuple(broadcast for check in self.checks for broadcast in check.reads)

    def apply(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Applies the column changes, without `checks` and `keep`."""
        if self.shuffle is not None:
            return self.shuffle.apply([frame])
        if self.columns:
            frame = frame.with_columns(self.columns)
        return self.reshape(frame) if self.reshape is not None else frame

    @property
    def reshapes(self) -> bool:
        """Whether its output columns are only known by running it on no rows."""
        return self.shuffle is not None or self.reshape is not None

    def output_schema(self, *before: Columns) -> pl.Schema:
        """The output columns, found by running it on no rows; a join has two inputs. Raises polars errors."""
        return schema_of(self.output_shape(*map(Shape, before)).columns)

    def output_shape(self, *before: Shape) -> Shape:
        """Like `output_schema`, for a Shape that is passed along a chain of steps."""
        if not self.reshapes:
            if not self.columns:
                return before[0]
            return before[0].changed(types_of(self.columns, before[0].columns) if self.types is None else self.types)
        if self.shuffle is not None and self.shuffle.made is not None:
            return Shape({**self.shuffle.made, ROW: pl.Int64()})
        frames = [shape.frame.lazy() for shape in before]
        made = self.apply(frames[0]) if self.shuffle is None else self.shuffle.apply(frames)
        return Shape.of(made.collect())
