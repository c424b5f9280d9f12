"""Rules on how many rows there are."""

from __future__ import annotations

from pydantic import Field

from ir.dataset_rules.base import Bounded, DatasetRule


class RowCount(Bounded):
    """So many rows must leave the node."""

    min: int | None = Field(default=None, ge=0)
    """At least so many."""
    max: int | None = Field(default=None, ge=0)
    """At most so many."""


class RowCountAnomaly(DatasetRule):
    """The number of rows may differ by at most `maxDeviationPct` percent from the mean of the last `lookbackRuns` runs
    of the pipeline that completed; while there are none, the rule holds. Runs of failed rows alone do not count."""

    max_deviation_pct: float = Field(gt=0, le=100_000)
    """In percent of the mean."""
    lookback_runs: int = Field(default=5, ge=1, le=100)
    """How many runs the mean is of."""
