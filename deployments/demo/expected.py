"""The demo's answer book: the counts that must come out, computed from the raw CSV without any of Headrace's code."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Expected:
    """Rows of one run over the file; `distance` is the sum over the loaded rows, in miles."""

    rows_in: int
    rows_out: int
    failed: int
    skipped: int
    distance: int


def expected_counts(csv: Path) -> Expected:
    """Counts what the demo's pipeline should load, fail and skip, in one lazy query."""
    import polars as pl

    flights = pl.scan_csv(csv, null_values=["NA"], infer_schema_length=None)
    flew = pl.col("dep_time").is_not_null()
    failed = flew & (pl.col("air_time").is_null() | (pl.col("dep_delay") > 720) | (pl.col("dep_delay") < -30))
    loaded = flew & ~failed & (pl.col("distance") >= 100)
    row = (
        flights.select(
            rows_in=pl.len(),
            rows_out=loaded.sum(),
            failed=failed.sum(),
            skipped=(~failed & ~loaded).sum(),
            distance=pl.col("distance").filter(loaded).sum(),
        )
        .collect()
        .row(0, named=True)
    )
    return Expected(**{name: int(value) for name, value in row.items()})
