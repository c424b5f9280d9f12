"""Where stages leave rows for each other: Parquet files. All that touches them goes through here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow.parquet as pq

from flows.runtime.staging.local import LocalFolder
from flows.runtime.staging.place import StagingPlace, together

_ROWS_PER_GROUP = 65_536


class StagedFile(NamedTuple):
    """A file that is there."""

    place: str
    name: str
    size: int


class StagingFiles:
    """The files of one run, in a folder of its own below `root`: a folder here, or the URL of one in an object store.
    What moves or lists files raises StagingFailed."""

    def __init__(self, root: Path | str, run: str) -> None:
        # How rows are spread over buckets is the business of a version of polars.
        self._kept = _place(root, f"{run.replace('/', '-')}-{pl.__version__}")

    def begin(self, *, afresh: bool) -> None:
        """Once per attempt: removes what others have forgotten, and with `afresh` what this run has left."""
        self._kept.begin(afresh=afresh)

    def write(self, place: str, name: str, frame: pl.DataFrame) -> int:
        """A file with these rows, there at once or not at all; gives its bytes."""
        with self._kept.new(f"{place}/{name}") as path:
            frame.write_parquet(path, compression="lz4", statistics=False)
            return path.stat().st_size

    def write_all(self, name: str, frames: Mapping[str, pl.DataFrame]) -> list[int]:
        """One file in each of several places."""
        places = [*frames]
        return together(lambda place: self.write(place, name, frames[place]), places, self._kept.at_once)

    def sink(self, place: str, name: str, rows: pl.LazyFrame) -> None:
        """The same as `write`, of rows that are made while they are written."""
        with self._kept.new(f"{place}/{name}") as path:
            rows.sink_parquet(path, compression="lz4", row_group_size=_ROWS_PER_GROUP)

    def append(self, place: str, name: str, frames: Iterable[pl.DataFrame]) -> None:
        """The same, of frames that come one behind the other; there is at least one."""
        with self._kept.new(f"{place}/{name}") as path:
            writer: pq.ParquetWriter | None = None
            for frame in frames:
                table = frame.to_arrow()
                writer = writer or pq.ParquetWriter(path, table.schema, compression="lz4")
                writer.write_table(table, row_group_size=_ROWS_PER_GROUP)
            if writer is not None:
                writer.close()

    @contextmanager
    def reading(self, place: str, names: list[str], schema: pl.Schema) -> Iterator[pl.LazyFrame]:
        """The rows of several files, in that order, to be collected while this is entered; of none, no rows of
        `schema`."""
        with self._kept.fetched([f"{place}/{name}" for name in names]) as paths:
            yield pl.scan_parquet(paths, glob=False) if paths else pl.LazyFrame(schema=schema)

    def height(self, place: str, name: str) -> int:
        """The rows of a file."""
        return self._kept.height(f"{place}/{name}")

    def list(self, below: str) -> Iterator[StagedFile]:
        """The files in a place, or in all places of a folder; in order of their names within each."""
        for path, size in self._kept.list(below):
            place, _, name = path.rpartition("/")
            if name.endswith(".parquet"):
                yield StagedFile(place, name, size)

    def delete(self, place: str, name: str) -> None:
        """Removes one file."""
        self._kept.delete(f"{place}/{name}")

    def remove(self) -> None:
        """Removes all of them."""
        self._kept.remove()


def probe(root: Path | str) -> None:
    """Looks whether files can be kept there, without a trace. Raises StagingFailed."""
    _place(root, "probe", probing=True).probe()


def _place(root: Path | str, name: str, *, probing: bool = False) -> StagingPlace:
    if isinstance(root, Path):
        return LocalFolder(root, name)
    from flows.runtime.staging import objects  # its client is large, and most have a folder

    return objects.ObjectFolder(root, name, objects.HASTE) if probing else objects.ObjectFolder(root, name)
