"""What an op, a rule or a target's column list compiles to: one row-local step over a frame.

A step does three things, in this order: its `checks` are evaluated on the incoming columns and rows that fail one
leave, then rows that `keep` does not hold for leave, then `columns`/`reshape` change the columns of those that stay.
Every part sees one row at a time, so a step gives the same result however the rows are cut into batches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import polars as pl

OnFail = Literal["quarantine", "skip", "warn", "abort"]


@dataclass(frozen=True, slots=True)
class Check:
    """A condition on a row. `fails` is a Boolean expression that is never null, `value` the offending value as text."""

    rule: str
    column: str
    fails: pl.Expr
    value: pl.Expr
    message: str
    on_fail: OnFail = "quarantine"


@dataclass(frozen=True, slots=True)
class Step:
    """One row-local change of a frame. `label` is for people and plans; `path` is the place in the document."""

    node: str
    path: str
    label: str
    checks: tuple[Check, ...] = ()
    keep: pl.Expr | None = None
    columns: tuple[pl.Expr, ...] = ()
    reshape: Callable[[pl.LazyFrame], pl.LazyFrame] | None = None

    def apply(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """The column changes alone, without checks and without `keep`."""
        if self.columns:
            frame = frame.with_columns(self.columns)
        return self.reshape(frame) if self.reshape is not None else frame
