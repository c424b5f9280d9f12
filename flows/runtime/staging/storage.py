"""The interface of the storage for files exchanged between stages, and its error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

from headrace.flows.runtime.errors import RunFailed

FORGOTTEN_AFTER_S = 7 * 24 * 3600
"""Folders that were not changed for this long belong to runs that will not be retried."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class StagingFailed(RunFailed):
    """The storage for rows between stages cannot be used, for `reason`; `remedy` says what to do."""

    def __init__(self, where: object, reason: str, remedy: str) -> None:
        super().__init__(
            f"Rows between stages cannot be kept in {where}: {reason}. {remedy}, and retry the run: it continues after "
            "what is committed."
        )
        self.reason, self.remedy = reason, remedy


class StagingStorage(Protocol):
    """The files of one run. Names are relative paths with slashes. Methods that write, read or list raise
    StagingFailed."""

    at_once: int
    """The number of files moved at the same time."""

    def begin(self, *, afresh: bool) -> None:
        """Removes old folders of other runs and, with `afresh`, the files of this run; called once per attempt."""

    def new(self, name: str) -> AbstractContextManager[Path]:
        """A path to write a file to. When the `with` block ends without an error, the file is stored atomically under
        its name and replaces an older one; else it is discarded."""

    def fetched(self, names: Sequence[str]) -> AbstractContextManager[list[Path]]:
        """Local paths of the files in the order of `names`, valid inside the `with` block."""

    def height(self, name: str) -> int:
        """The number of rows of a file."""

    def list(self, below: str) -> Iterator[tuple[str, int]]:
        """Names and sizes in bytes of all files in a folder and its subfolders, ordered by name."""

    def delete(self, name: str) -> None:
        """Removes one file if it exists."""

    def remove(self) -> None:
        """Removes all files of the run."""

    def probe(self) -> None:
        """Checks that the storage can be used, and leaves no files."""


def map_in_threads(work: Callable[[Item], Result], items: Sequence[Item], at_once: int) -> list[Result]:
    """Applies `work` to the items in up to `at_once` threads; results in the order of `items`. Raises the first
    error."""
    if at_once == 1 or len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(at_once, len(items)), thread_name_prefix="staging") as pool:
        return list(pool.map(work, items))
