"""What a place for files between stages has to do, and what it says when it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

from flows.runtime.limits import RunFailed

FORGOTTEN_AFTER_S = 7 * 24 * 3600
"""What nobody touched for so long belongs to a run that nobody retries."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class StagingFailed(RunFailed):
    """The place for rows between stages cannot be used: which, why, and what helps."""

    def __init__(self, where: object, reason: str, mend: str) -> None:
        super().__init__(
            f"Rows between stages cannot be kept in {where}: {reason}. {mend}, and retry the run: it goes on behind "
            "what is committed."
        )
        self.reason, self.mend = reason, mend


class StagingPlace(Protocol):
    """The files of one run. Names are relative and have slashes. What writes, reads or lists raises StagingFailed."""

    at_once: int
    """So many files are moved at the same time."""

    def begin(self, *, afresh: bool) -> None:
        """Once per attempt: removes what others have forgotten, and with `afresh` what this run has left."""

    def new(self, name: str) -> AbstractContextManager[Path]:
        """A path to write a file to. It is there, at once and in place of an older one, when this is left without an
        error; else not at all."""

    def fetched(self, names: Sequence[str]) -> AbstractContextManager[list[Path]]:
        """Paths to read the files from for as long as this is entered, in the order of `names`."""

    def height(self, name: str) -> int:
        """The rows of a file."""

    def list(self, below: str) -> Iterator[tuple[str, int]]:
        """Names and bytes of all files in a folder and those within it, in the order of their names."""

    def delete(self, name: str) -> None:
        """Removes one file, if it is there."""

    def remove(self) -> None:
        """Removes all files of the run."""

    def probe(self) -> None:
        """Looks whether the place can be used, without a trace."""


def together(work: Callable[[Item], Result], items: Sequence[Item], at_once: int) -> list[Result]:
    """The results in the order of `items`; nothing is begun any more once one has failed."""
    if at_once == 1 or len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(at_once, len(items)), thread_name_prefix="staging") as pool:
        return list(pool.map(work, items))
