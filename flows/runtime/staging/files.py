"""The files with rows exchanged between stages: Parquet, or Arrow IPC, which is what they are in memory. All access to
them goes through this module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow.parquet as pq

from headrace.flows.runtime.staging.local import LocalFolder
from headrace.flows.runtime.staging.storage import StagingStorage, map_in_threads

_ROWS_PER_GROUP = 65_536
PARQUET, ARROW = ".parquet", ".arrow"
"""How names end, which decides how a file is written: Parquet takes a quarter of the space, Arrow IPC without
compression a third of the time."""


class StagedFile(NamedTuple):
    """An existing file."""

    place: str
    name: str
    size: int


class StagingFiles:
    """The files of one run in a subfolder of `root`, which is a local folder or the URL of a folder in an object store.
    Methods that move or list files raise StagingFailed."""

    def __init__(self, root: Path | str, run: str) -> None:
        # Versions of polars may distribute rows over buckets differently.
        self._kept = _storage(root, f"{run.replace('/', '-')}-{pl.__version__}")
        self.local = isinstance(root, Path)

    def begin(self, *, afresh: bool) -> None:
        """Removes old folders of other runs and, with `afresh`, the files of this run; called once per attempt."""
        self._kept.begin(afresh=afresh)

    def write(self, place: str, name: str, frame: pl.DataFrame) -> int:
        """Writes the rows to a file, atomically, and returns its size in bytes."""
        with self._kept.new(f"{place}/{name}") as path:
            if name.endswith(ARROW):
                frame.write_ipc(path)
            else:
                frame.write_parquet(path, compression="lz4", statistics=False)
            return path.stat().st_size

    def write_all(self, frames: Mapping[tuple[str, str], pl.DataFrame]) -> list[int]:
        """Writes several files, by (place, name), and returns their sizes in bytes."""
        return map_in_threads(lambda file: self.write(*file, frames[file]), [*frames], self._kept.at_once)

    def sink(self, place: str, name: str, rows: pl.LazyFrame, *, group_rows: int = _ROWS_PER_GROUP) -> None:
        """Like `write`, for rows that are streamed from a query; `group_rows` of them are read at once later."""
        with self._kept.new(f"{place}/{name}") as path:
            rows.sink_parquet(path, compression="lz4", row_group_size=group_rows)

    def append(
        self, place: str, name: str, frames: Iterable[pl.DataFrame], *, group_rows: int = _ROWS_PER_GROUP
    ) -> None:
        """Like `sink`, for a sequence of at least one frame."""
        with self._kept.new(f"{place}/{name}") as path:
            writer: pq.ParquetWriter | None = None
            for frame in frames:
                for group in frame.iter_slices(group_rows) if frame.height else [frame]:
                    table = group.to_arrow()  # a copy: of few rows at once
                    writer = writer or pq.ParquetWriter(path, table.schema, compression="lz4")
                    writer.write_table(table)
            if writer is not None:
                writer.close()

    @contextmanager
    def reading(self, place: str, names: list[str], schema: pl.Schema) -> Iterator[pl.LazyFrame]:
        """A scan of several files in the given order, to be collected inside the `with` block. Without files, an empty
        frame of `schema`."""
        with self._kept.fetched([f"{place}/{name}" for name in names]) as paths:
            kinds = groupby(zip(names, paths, strict=True), key=lambda each: each[0].endswith(ARROW))
            scans = [_scan([path for _, path in some], arrow=arrow) for arrow, some in kinds]
            # An attempt that began with another release may have written files of the other kind.
            yield pl.concat(scans) if scans else pl.LazyFrame(schema=schema)

    def height(self, place: str, name: str) -> int:
        """The number of rows of a file."""
        return self._kept.height(f"{place}/{name}")

    def list(self, below: str) -> Iterator[StagedFile]:
        """The files in a folder and its subfolders, ordered by name."""
        for path, size in self._kept.list(below):
            place, _, name = path.rpartition("/")
            if name.endswith((PARQUET, ARROW)):
                yield StagedFile(place, name, size)

    def delete(self, place: str, name: str) -> None:
        """Removes one file."""
        self._kept.delete(f"{place}/{name}")

    def remove(self) -> None:
        """Removes all files of the run."""
        self._kept.remove()


def _scan(paths: list[Path], *, arrow: bool) -> pl.LazyFrame:
    return pl.scan_ipc(paths, glob=False) if arrow else pl.scan_parquet(paths, glob=False)


def probe(root: Path | str) -> None:
    """Checks that files can be stored in `root`, and leaves no files. Raises StagingFailed."""
    _storage(root, "probe", probing=True).probe()


def _storage(root: Path | str, name: str, *, probing: bool = False) -> StagingStorage:
    if isinstance(root, Path):
        return LocalFolder(root, name)
    from headrace.flows.runtime.staging import objects  # imports a large client that most installations do not need

    return objects.ObjectFolder(root, name, objects.HASTE) if probing else objects.ObjectFolder(root, name)
