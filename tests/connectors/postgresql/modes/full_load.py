"""One load in a given mode without a run around it: batches in, publications out, counted as a run counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import psycopg

from headrace.connectors.postgresql.modes import MODES, LoadMode, LoadSpec, RetryPolicy
from headrace.connectors.source import ROW
from headrace.connectors.target import Published, Resume, Written


def spec(url: str, columns: Sequence[str], run_id: str = "run_1", root: str | None = None, **rest: Any) -> LoadSpec:
    retry = RetryPolicy(attempts=4, first_pause=0.05)
    return LoadSpec(url, "public.t", tuple(columns), root or run_id, run_id, "pipe_1", 3, "tgt", retry=retry, **rest)


def rows(first: int = 1, **columns: list[object]) -> pl.DataFrame:
    """A batch; its rows are numbered from `first`."""
    frame = pl.DataFrame(columns, strict=False)
    return frame.with_columns(pl.int_range(first, first + frame.height, dtype=pl.Int64).alias(ROW))


class Load:
    """A load in progress: `write` batches, then `publish`. `cells` are the refused ones, as (row, column, error)."""

    def __init__(self, mode: str, the_spec: LoadSpec) -> None:
        self.mode: LoadMode = MODES[mode](the_spec)
        self.cells: list[tuple[Any, ...]] = []

    def begin(self) -> Load:
        self.mode.begin()
        return self

    def write(self, *frames: pl.DataFrame, partition: int = 0) -> Resume:
        """Loads the batches of a partition after the committed ones."""
        with self.mode.loader(0, partition, "src") as loader:
            for frame in frames:
                before = loader.resume

                def on_commit(written: Written, before: Resume = before, frame: pl.DataFrame = frame) -> Resume:
                    self._tell(written.rejects)
                    failed = written.rejects.get_column("row").n_unique()
                    skipped = frame.height - failed - written.loaded - written.held
                    return replace(
                        before,
                        rows_done=before.rows_done + frame.height,
                        rows_loaded=before.rows_loaded + written.loaded,
                        rows_failed=before.rows_failed + failed,
                        rows_skipped=before.rows_skipped + skipped,
                    )

                loader.write(frame, on_commit)
            return loader.resume

    def publish(self) -> Resume:
        """All publications and the end of the load."""
        done = [self.mode.publish(0, index, self._on_publish) for index in range(self.mode.publications())]
        self.mode.finish()
        return Resume(
            rows_loaded=sum(each.rows_loaded for each in done),
            rows_failed=sum(each.rows_failed for each in done),
            rows_skipped=sum(each.rows_skipped for each in done),
        )

    def _on_publish(self, published: Published) -> Resume:
        rejects = published.rejects
        self._tell(rejects)
        failed = rejects.select("partition", "row").n_unique() if rejects.height else 0
        return Resume(rows_loaded=published.loaded, rows_failed=failed, rows_skipped=published.skipped)

    def _tell(self, rejects: pl.DataFrame) -> None:
        self.cells += rejects.select("row", "column", "error").rows()


def load(mode: str, the_spec: LoadSpec, *frames: pl.DataFrame) -> Load:
    """A whole load of one partition."""
    done = Load(mode, the_spec).begin()
    done.write(*frames)
    done.publish()
    return done


class Table:
    """Statements on a connection of its own."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True)

    def __call__(self, statement: str) -> list[tuple[Any, ...]]:
        cursor = self.connection.execute(statement)  # type: ignore[call-overload]
        return cursor.fetchall() if cursor.description else []
