"""The stored record of one claim: where each file came from, where it is, where it is being moved."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import Literal

from headrace.connectors.errors import SourceError
from headrace.connectors.files.arrival.inbox import ClaimedFiles
from headrace.connectors.files.selection import StoredFile
from headrace.connectors.files.store import FileStore

Fate = Literal["staged", "loaded", "unreadable", "skipped", "given_up"]
"""`unreadable`: the run that met the file failed. `skipped`: it passed the file over (`onBadFile`), which is part of
what its plan was made of. `given_up`: a later attempt began without an unreadable file, no part of its plan."""

_KEPT_DAYS = 400
"""Days that records are kept; until then failed rows of the run can be replayed from its files."""


@dataclass(slots=True)
class ClaimedFile:
    """`name` is the one it arrived under, `place` where it was last known to be, `going` where it is being moved to.

    Size and version identify its content.
    """

    name: str
    place: str
    size: int
    version: str
    fate: Fate = "staged"
    going: str | None = None

    @classmethod
    def staged(cls, name: str, file: StoredFile) -> ClaimedFile:
        """A file in the staging folder."""
        return cls(name, file.name, file.size, file.version)


@dataclass(slots=True)
class ClaimRecord:
    """The files of one claim in the order they are read; `name` is the path of the record itself."""

    name: str
    files: list[ClaimedFile]

    @classmethod
    def load(cls, store: FileStore, name: str) -> ClaimRecord | None:
        """The record, or None. Raises SourceError(`bad_record`)."""
        text = store.read(name)
        if text is None:
            return None
        try:
            return cls(name, [ClaimedFile(**file) for file in json.loads(text)["files"]])
        except (ValueError, TypeError, KeyError):
            hint = "Delete it: files that are still in the staging folder are then claimed again."
            raise SourceError("bad_record", f"'{name}' is not a valid claim record.", hint) from None

    def save(self, store: FileStore) -> None:
        """Replaces the stored record."""
        store.write(self.name, json.dumps({"files": [asdict(file) for file in self.files]}, indent=1))

    def held(self, *notes: str) -> ClaimedFiles:
        """The files as a run reads them."""
        places = {file.name: file.place for file in self.files}
        skipped = {
            file.name: StoredFile(file.name, file.size, 0.0, file.version)
            for file in self.files
            if file.fate == "skipped"
        }
        return ClaimedFiles(places, self.name, notes, skipped)


def record_name(staging: str, owner: str) -> str:
    """The path of the record of `<run>/<node>`, spread over folders so that none grows too large."""
    run, _, node = owner.partition("/")
    return f"{staging}/.claims/{run[-2:]}/{run}.{node}.json"


def delete_old_records(store: FileStore, beside: str) -> None:
    """Deletes expired records in the folder of this one."""
    before = time.time() - _KEPT_DAYS * 86_400
    for file in store.listing(beside.rpartition("/")[0]):
        if file.mtime < before:
            store.remove(file.name)
