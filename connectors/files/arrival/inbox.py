"""The interface of files that arrive: wait for them, claim them for one run, archive them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from headrace.connectors.errors import SourceError
from headrace.connectors.files.selection import StoredFile

OnMiss = Literal["alert", "skip", "fail"]


@dataclass(frozen=True, slots=True)
class WaitPolicy:
    """How often to look again, the seconds between looks, and the outcome of a run without a file."""

    max_retries: int
    interval_s: float
    on_miss: OnMiss


@dataclass(frozen=True, slots=True)
class InboxState:
    """The files in a folder that match a source, at one moment.

    `ready` are complete matches, in the order to claim them; `unsettled` may still be written to and can be checked
    again in `settles_in` seconds. `begun`: an earlier attempt of the owner has already claimed files. `problem` is the
    reason why nothing is ready.
    """

    ready: tuple[StoredFile, ...] = ()
    unsettled: tuple[StoredFile, ...] = ()
    settles_in: float = 0.0
    begun: bool = False
    problem: SourceError | None = None

    @property
    def found(self) -> bool:
        """Whether there are files to claim or already claimed."""
        return self.begun or bool(self.ready)


@dataclass(frozen=True, slots=True)
class ClaimedFiles:
    """The files of one run, in order: the name each arrived under, and where it is now (both relative to the store's
    root). `record` is the stored record of the claim; None if nothing was moved. `notes` are for the run's log.

    `skipped` are those in `places` that an earlier attempt passed over as unreadable, with what they were: they are not
    read again, and it does not matter whether they are still there."""

    places: Mapping[str, str]
    record: str | None = None
    notes: tuple[str, ...] = ()
    skipped: Mapping[str, StoredFile] = field(default_factory=dict)


class Inbox(Protocol):
    """The files of one source. `owner` is `<run>/<node>`, where the run is the first of its chain of retries.

    Every method may be called again after a crash at any point and continues from there. All raise SourceError.
    """

    @property
    def wanted(self) -> bool:
        """Whether the config uses waiting or claiming; otherwise files are read where they are."""

    @property
    def wait(self) -> WaitPolicy | None:
        """How to wait for missing files; None: not at all."""

    def describe(self, now: datetime) -> str:
        """The awaited file, for messages: `a file that matches glob 'a*' in 'orders'`."""

    def look(self, owner: str, now: datetime, before: InboxState | None = None) -> InboxState:
        """Looks once. Files unchanged since `before` count as complete. `now` is the day for a date_glob."""

    def claim(self, owner: str, look: InboxState) -> ClaimedFiles:
        """Claims the ready files; if another run was faster, the next one. Raises `file_not_found` if none is left."""

    def located(self, owner: str, *, record: str | None = None, whole: bool) -> ClaimedFiles | None:
        """Where the owner's claimed files are; None if it claimed none. Moves nothing.

        `record` is the record of an earlier run's claim. Raises `file_failed` or `file_gone` if a file cannot be read
        again: for any file if the `whole` claim is needed, otherwise only if all are unreadable.
        """

    def loaded(self, owner: str) -> tuple[str, ...]:
        """Moves the owner's files to the success folder; returns a sentence about each."""

    def unreadable(self, owner: str, name: str) -> tuple[str, ...]:
        """Moves the file that arrived as `name` to the failure folder, because of which the run fails."""

    def skipped(self, owner: str, name: str) -> tuple[str, ...]:
        """The same for a file without which the run ends well: later attempts and replays pass it over too."""

    def give_up_unreadable(self, owner: str) -> None:
        """Records that the chain of runs goes on without the files that are in the failure folder."""

    def release(self, owner: str) -> None:
        """Moves claimed files that were not read back to where they arrived."""


@runtime_checkable
class HasInbox(Protocol):
    """A Source of files that arrive. `left_out` are unreadable files, by their original names, that the run skips."""

    left_out: tuple[str, ...]

    @property
    def arrivals(self) -> Inbox:
        """The inbox of its files."""

    def hold(self, held: ClaimedFiles) -> None:
        """Reads these files from now on, at their present places, under their original names."""
