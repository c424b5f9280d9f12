"""The files of one source: as the store lists them now, or as the run claimed them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

from headrace.connectors.files.arrival.inbox import ClaimedFiles
from headrace.connectors.files.selection import Selection, StoredFile
from headrace.connectors.files.store import FileStore, OpenedFile
from headrace.connectors.files.unchanged import opened_unchanged


class ChosenFiles:
    """`path` is the source's path in the store, `given` the same as its config names it."""

    def __init__(self, store: FileStore, path: str, given: str, selection: Selection) -> None:
        self._store, self._path, self._given, self._selection = store, path, given, selection
        self.held: Mapping[str, str] = {}
        self.skipped: Mapping[str, StoredFile] = {}
        self._listed: Mapping[str, StoredFile] = {}

    def hold(self, held: ClaimedFiles) -> None:
        self.held, self.skipped = held.places, held.skipped

    def listing(self) -> list[StoredFile]:
        """The file at the path, or every file of that folder, ignoring the pattern. Raises SourceError."""
        file = self._store.stat(self._path)
        return self._store.listing(self._path) if file is None else [file]

    def folders(self) -> list[str]:
        """The folders at the path, by name. Raises SourceError."""
        return self._store.folders(self._path)

    def listed_names(self) -> list[str]:
        """The names of the files as they were listed last; they are listed now if they were not yet."""
        return [*self._listed] or [file.name for file in self.now()]

    def now(self) -> list[StoredFile]:
        """The files to read, listed now; they are opened as they were listed last. Raises SourceError."""
        files = self._found()
        self._listed = {file.name: file for file in files}
        return files

    @contextmanager
    def opened(self, name: str, changed: str) -> Iterator[OpenedFile]:
        """Opens a file by its original place; see `opened_unchanged`."""
        place = self.held.get(name, name)
        with opened_unchanged(self._store, name, changed, place=place, listed=self._listed.get(name)) as opened:
            yield opened

    def _found(self) -> list[StoredFile]:
        if self.held:
            return [self.skipped.get(name) or self._stored(name, place) for name, place in self.held.items()]
        if self._store.is_file(self._path):
            return self.listing()
        return self._selection.choose(self.listing(), folder=self._given or ".", within=self._path)

    def _stored(self, name: str, place: str) -> StoredFile:
        """The file under its name on arrival, so that the fingerprint does not depend on its current place."""
        file = self._store.stat(place)
        if file is None:
            raise self._store.missing(place)
        return replace(file, name=name)


def fingerprint_of(files: Sequence[StoredFile]) -> str:
    """A text that changes when a file is added, removed, renamed or written to."""
    text = "\n".join(f"{file.name}\t{file.size}\t{file.version}" for file in files)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
