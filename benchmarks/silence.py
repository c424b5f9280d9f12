"""The recorder of benchmarks: nobody reads it."""

from __future__ import annotations

from typing import Any

import polars as pl

from headrace.connectors.target import Resume


class Silence:
    """Keeps nothing. Rows that fail end the benchmark."""

    def rejected(self, stage: int, partition: int, node: str, cells: pl.DataFrame, *, warning: bool) -> None:
        raise SystemExit(f"rows were refused: {cells.head(1).rows()}")

    def progress(self, stage: int, partition: int, status: str, committed: Resume) -> None:
        pass

    def forget(self, *uncommitted: Any) -> None:
        pass

    def log(self, stage: str, message: str) -> None:
        pass
