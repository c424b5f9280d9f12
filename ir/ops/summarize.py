"""`summarize`: what the values of each column are like."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ir.ops.base import OpBase
from ir.ops.ordering import Columns

Stat = Literal["count", "nulls", "distinct", "min", "max", "mean", "p50", "p95"]
STATS: tuple[Stat, ...] = ("count", "nulls", "distinct", "min", "max", "mean", "p50", "p95")


class Summarize(OpBase):
    """A row for each of `fields` (all columns but those of `groupBy`, unless named) and group: the columns of the
    group, `field` with its name, and one column per statistic. `count` counts values; `min` and `max` are text; `mean`,
    `p50` and `p95` are null where the field is no number."""

    type: Literal["summarize"]
    fields: Columns = ()
    """The columns to look at; all without it."""
    group_by: Columns = ()
    """The columns whose equal values make a group."""
    stats: Annotated[tuple[Stat, ...], Field(min_length=1)] = STATS
    """What is told of each."""

    @property
    def makes(self) -> tuple[str, ...]:
        return ("field", *self.stats)
