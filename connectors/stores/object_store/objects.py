"""The objects below a prefix of a bucket as a store of files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from headrace.connectors.errors import SourceError
from headrace.connectors.files.selection import StoredFile
from headrace.connectors.files.store import OpenedFile
from headrace.connectors.stores.downloads import download_ranges
from headrace.connectors.stores.file_copies import FileCopies
from headrace.connectors.stores.object_store.bucket import Bucket, ObjectChanged
from headrace.connectors.stores.object_store.moves import NOTES_FOLDER, Moves
from headrace.connectors.stores.remote import changed, checked_path, missing, opened


class ObjectFiles:
    """A FileStore. Folders are the parts of names before a `/`; a folder without files does not exist."""

    def __init__(self, bucket: Bucket, scratch: Path | None = None) -> None:
        self._bucket, self._moves, self._copies = bucket, Moves(bucket), FileCopies(scratch)

    def is_file(self, name: str) -> bool:
        return self.stat(name) is not None

    def is_folder(self, name: str) -> bool:
        path = checked_path(name)
        return not path or bool(self._bucket.under(path, most=1))

    def stat(self, name: str) -> StoredFile | None:
        path = checked_path(name)
        found = self._bucket.head(path) if path else None
        return None if found is None else self._moves.known(found)

    def listing(self, folder: str) -> list[StoredFile]:
        files, folders = self._moves.files(checked_path(folder))
        if not files and not folders and not self.is_folder(folder):
            raise self.missing(folder)
        return files

    def folders(self, name: str) -> list[str]:
        return [each for each in self._bucket.listing(checked_path(name))[1] if each != NOTES_FOLDER]

    @contextmanager
    def opened(self, name: str, *, missing: str = "file_not_found") -> Iterator[OpenedFile]:
        """Opens a local copy of one version."""
        path = checked_path(name)
        found = self._bucket.head(path) if path else None
        if found is None:
            if self.is_folder(path):
                raise SourceError("not_a_file", f"'{name}' is a folder.", "Only files are read.")
            raise self.missing(name, missing)

        def fill(into: int) -> None:
            try:
                download_ranges(found.size, into, lambda start, end: self._bucket.range(path, start, end, found.tag))
            except ObjectChanged:
                raise changed(name) from None

        with opened(self._copies, self._moves.known(found), fill, lambda: self.stat(name)) as file:
            yield file

    def missing(self, name: str, code: str = "file_not_found") -> SourceError:
        return missing(name, code, self._there, self._bucket.place)

    def take(self, name: str, to: str) -> bool:
        return self._moves.take(checked_path(name), checked_path(to))

    def put(self, name: str, to: str) -> None:
        self._moves.put(checked_path(name), checked_path(to))

    def read(self, name: str) -> str | None:
        return self._bucket.text(checked_path(name))

    def write(self, name: str, text: str) -> None:
        self._bucket.put(checked_path(name), text)

    def remove(self, name: str) -> None:
        self._bucket.delete(checked_path(name))

    def remove_folder(self, name: str) -> None:
        """Deletes the notes of moves; there is nothing else to delete."""
        self._moves.forget(checked_path(name))

    def _there(self, folder: str) -> Sequence[str] | None:
        objects, folders = self._bucket.listing(folder)
        if not objects and not folders and folder:
            return None
        names = [each.path.rpartition("/")[2] for each in objects]
        return names + [f"{each}/" for each in folders if each != NOTES_FOLDER]
