"""Files exchanged between stages in a folder that all workers share."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import pyarrow.parquet as pq

from headrace.flows.runtime.staging.storage import FORGOTTEN_AFTER_S, StagingFailed


class LocalFolder:
    """A StagingPlace in the folder `name` below `root`."""

    at_once = 1

    def __init__(self, root: Path, name: str) -> None:
        self._root, self._folder = root, root / name

    def begin(self, *, afresh: bool) -> None:
        with self._explained():
            self._root.mkdir(parents=True, exist_ok=True)
            folders = list(self._root.iterdir())
        for folder in folders:
            with suppress(OSError):
                if time.time() - folder.stat().st_mtime > FORGOTTEN_AFTER_S:
                    shutil.rmtree(folder, ignore_errors=True)
        if afresh:
            self.remove()
        with self._explained():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # rows may be confidential
            self._folder.touch()

    @contextmanager
    def new(self, name: str) -> Iterator[Path]:
        path = self._folder / name
        unfinished = path.with_name(f"{path.name}.{uuid4().hex}.tmp")
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                yield unfinished
                unfinished.rename(path)
            finally:
                unfinished.unlink(missing_ok=True)

    @contextmanager
    def fetched(self, names: Sequence[str]) -> Iterator[list[Path]]:
        yield [self._folder / name for name in names]

    def height(self, name: str) -> int:
        return int(pq.read_metadata(self._folder / name).num_rows)

    def list(self, below: str) -> Iterator[tuple[str, int]]:
        found = (Path(folder, name) for folder, _, names in os.walk(self._folder / below) for name in names)
        for path in sorted(found):
            with suppress(FileNotFoundError):  # another attempt removes files
                yield path.relative_to(self._folder).as_posix(), path.stat().st_size

    def delete(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def probe(self) -> None:
        """Checks that the folder can be written. Does not create it: it would then belong to this user, not the
        worker's."""
        there = next(folder for folder in (self._root, *self._root.absolute().parents) if folder.exists())
        with self._explained():
            if not there.is_dir():
                raise NotADirectoryError(f"{there} is not a folder")
            if not os.access(there, os.W_OK | os.X_OK):
                raise PermissionError(f"{there} cannot be written")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            remedy = "Make room or set HEADRACE_STAGING_URL to another folder"
            raise StagingFailed("their folder", str(error.strerror or error), remedy) from error
