"""Where stages leave rows for each other: Parquet files in a folder. All that touches them goes through here."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import polars as pl
import pyarrow.parquet as pq

from flows.runtime.limits import RunFailed

FORGOTTEN_AFTER_S = 7 * 24 * 3600
"""What nobody touched for so long belongs to a run that nobody retries."""
_ROWS_PER_GROUP = 65_536


class StagingFailed(RunFailed):
    """The folder for rows between stages cannot be used."""


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StagingFailed(
            f"Rows between stages cannot be kept in {folder}: {error.strerror or error}. Make room or set "
            "HEADRACE_STAGING_URL to another folder, and retry the run: it goes on behind what is committed."
        ) from error


class StagingFiles:
    """The files of one run, in a folder of its own below `root`."""

    def __init__(self, root: Path, run: str) -> None:
        # How rows are spread over buckets is the business of a version of polars.
        self._root, self._folder = root, root / f"{run.replace('/', '-')}-{pl.__version__}"

    def begin(self, *, afresh: bool) -> None:
        """Once per attempt: removes what others have forgotten, and with `afresh` what this run has left. This and what
        writes raises StagingFailed."""
        with _explained(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            folders = list(self._root.iterdir())
        for folder in folders:
            with suppress(OSError):
                if time.time() - folder.stat().st_mtime > FORGOTTEN_AFTER_S:
                    shutil.rmtree(folder, ignore_errors=True)
        if afresh:
            self.remove()
        with _explained(self._root):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # rows may be nobody else's business
            self._folder.touch()

    def write(self, place: str, name: str, frame: pl.DataFrame) -> int:
        """A file with these rows, there at once or not at all; gives its bytes."""
        path = self._folder / place / name
        unfinished = path.with_name(f"{name}.{uuid4().hex}.tmp")
        with _explained(self._root):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                frame.write_parquet(unfinished, compression="lz4", statistics=False)
                size = unfinished.stat().st_size
                unfinished.rename(path)
            finally:
                unfinished.unlink(missing_ok=True)
        return size

    def sink(self, place: str, name: str, rows: pl.LazyFrame) -> None:
        """The same, of rows that are made while they are written."""
        path = self._folder / place / name
        unfinished = path.with_name(f"{name}.{uuid4().hex}.tmp")
        with _explained(self._root):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                rows.sink_parquet(unfinished, compression="lz4", row_group_size=_ROWS_PER_GROUP)
                unfinished.rename(path)
            finally:
                unfinished.unlink(missing_ok=True)

    def append(self, place: str, name: str, frames: Iterable[pl.DataFrame]) -> None:
        """The same, of frames that come one behind the other; there is at least one."""
        path = self._folder / place / name
        unfinished = path.with_name(f"{name}.{uuid4().hex}.tmp")
        with _explained(self._root):
            path.parent.mkdir(parents=True, exist_ok=True)
            writer: pq.ParquetWriter | None = None
            try:
                for frame in frames:
                    table = frame.to_arrow()
                    writer = writer or pq.ParquetWriter(unfinished, table.schema, compression="lz4")
                    writer.write_table(table, row_group_size=_ROWS_PER_GROUP)
                if writer is not None:
                    writer.close()
                unfinished.rename(path)
            finally:
                unfinished.unlink(missing_ok=True)

    def scan(self, place: str, names: list[str], schema: pl.Schema) -> pl.LazyFrame:
        """The rows of several files, in that order; of none, no rows of `schema`."""
        if not names:
            return pl.LazyFrame(schema=schema)
        return pl.scan_parquet([self._folder / place / name for name in names], glob=False)

    def list(self, place: str) -> Iterator[tuple[str, int]]:
        """Names and bytes of the files in a place."""
        folder = self._folder / place
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if path.suffix == ".parquet":
                    with suppress(FileNotFoundError):  # another attempt tidies up
                        yield path.name, path.stat().st_size

    def delete(self, place: str, name: str) -> None:
        """Removes one file."""
        (self._folder / place / name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Removes all of them."""
        shutil.rmtree(self._folder, ignore_errors=True)
