"""What a source of files can do besides reading: wait for them, take them for one run, put them away afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from connectors.base import SourceError
from connectors.files.selection import StoredFile

OnMiss = Literal["alert", "skip", "fail"]


@dataclass(frozen=True, slots=True)
class WaitPolicy:
    """How often to look again, how long to wait before each, and what a run without a file comes to."""

    max_retries: int
    interval_s: float
    on_miss: OnMiss


@dataclass(frozen=True, slots=True)
class Look:
    """What a folder holds for a source at one moment.

    `ready` are the matches nobody writes to any more, the first to take in front; `unsettled` those that may still grow
    and are worth another look in `settles_in` seconds. `begun`: the owner has taken files before it died.
    `problem` says why nothing is ready.
    """

    ready: tuple[StoredFile, ...] = ()
    unsettled: tuple[StoredFile, ...] = ()
    settles_in: float = 0.0
    begun: bool = False
    problem: SourceError | None = None

    @property
    def found(self) -> bool:
        """There is something to take."""
        return self.begun or bool(self.ready)


@dataclass(frozen=True, slots=True)
class Held:
    """The files of one run, in order: the name each arrived under, and where it lies now (both relative to the root of
    its store). `record` is where that is written down; None when nothing was moved. `notes` are for the run's log."""

    places: Mapping[str, str]
    record: str | None = None
    notes: tuple[str, ...] = ()


class Arrivals(Protocol):
    """The files of one source. `owner` is `<run>/<node>`, the run being the first of its chain of retries.

    Every method may be called again after a crash at any point, and goes on from there. All raise SourceError.
    """

    @property
    def wanted(self) -> bool:
        """The config asks for any of this; otherwise the source is simply read where it is."""

    @property
    def wait(self) -> WaitPolicy | None:
        """Whether to wait for files that are not there."""

    def describe(self, now: datetime) -> str:
        """What is waited for, for people: `a file that matches glob 'a*' in 'orders'`."""

    def look(self, owner: str, now: datetime, before: Look | None = None) -> Look:
        """Looks once; what did not change since `before` counts as settled. `now` is what a date_glob calls today."""

    def claim(self, owner: str, look: Look) -> Held:
        """Takes what the look found ready, the next one where another run was faster. Raises `file_not_found` when
        that leaves nothing."""

    def located(self, owner: str, *, record: str | None = None, whole: bool) -> Held | None:
        """Where the files lie that the owner took; None when it took none. Moves nothing.

        `record` is where an earlier run wrote it down. Raises `file_failed` or `file_gone` when one cannot be read
        again: any of them if the `whole` claim is needed, otherwise only when all are unreadable.
        """

    def loaded(self, owner: str) -> tuple[str, ...]:
        """Moves the owner's files to the success folder; a sentence about each."""

    def unreadable(self, owner: str, name: str) -> tuple[str, ...]:
        """Moves the one that arrived as `name` to the failure folder."""

    def release(self, owner: str) -> None:
        """Puts files back that were taken and not read."""


@runtime_checkable
class AwaitsFiles(Protocol):
    """A Source of files."""

    @property
    def arrivals(self) -> Arrivals:
        """Its files, as something that arrives."""

    def hold(self, held: Held) -> None:
        """From now on reads these, where they lie, under the names they arrived with."""
