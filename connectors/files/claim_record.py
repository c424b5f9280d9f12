"""What is written down about the files of one claim: where each came from, what is to become of it, where it lies."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import Literal

from connectors.base import SourceError
from connectors.files.arrivals import Held
from connectors.files.selection import StoredFile
from connectors.files.store import FileStore

Fate = Literal["staged", "loaded", "unreadable"]

_KEPT_DAYS = 400
"""Failed rows of a run can be run again for so long, as far as its files are concerned."""


@dataclass(slots=True)
class ClaimedFile:
    """`name` is the one it arrived under, `place` where it was last known to be, `going` where it is being moved to.

    Size and version are those of its content, to know it again.
    """

    name: str
    place: str
    size: int
    version: str
    fate: Fate = "staged"
    going: str | None = None

    @classmethod
    def staged(cls, name: str, file: StoredFile) -> ClaimedFile:
        """A file that lies in the staging folder."""
        return cls(name, file.name, file.size, file.version)


@dataclass(slots=True)
class ClaimRecord:
    """The files of one claim in the order they are read; `name` is where the record itself lies."""

    name: str
    files: list[ClaimedFile]

    @classmethod
    def load(cls, store: FileStore, name: str) -> ClaimRecord | None:
        """The record, if there is one."""
        text = store.read(name)
        if text is None:
            return None
        try:
            return cls(name, [ClaimedFile(**file) for file in json.loads(text)["files"]])
        except (ValueError, TypeError, KeyError):
            hint = "Delete it: files that are still in the staging folder are taken again then."
            raise SourceError("bad_record", f"'{name}' is not what was written there.", hint) from None

    def save(self, store: FileStore) -> None:
        """Replaces what was written before."""
        store.write(self.name, json.dumps({"files": [asdict(file) for file in self.files]}, indent=1))

    def held(self, *notes: str) -> Held:
        """The files as a run reads them."""
        return Held({file.name: file.place for file in self.files}, self.name, notes)


def record_name(staging: str, owner: str) -> str:
    """Where the record of `<run>/<node>` lies: spread over folders, so that none of them holds too many."""
    run, _, node = owner.partition("/")
    return f"{staging}/.claims/{run[-2:]}/{run}.{node}.json"


def forget_old(store: FileStore, beside: str) -> None:
    """Deletes the records beside this one that nobody will ask for any more: their folder does not grow for ever."""
    before = time.time() - _KEPT_DAYS * 86_400
    for file in store.listing(beside.rpartition("/")[0]):
        if file.mtime < before:
            store.remove(file.name)
