"""The connector `csv_upload`: files uploaded to the server.

Each connector has its own folder below the tenant's files folder; pipelines read the files by name.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO

from headrace.connectors.connector import Connector, Context, Found
from headrace.connectors.errors import SourceError
from headrace.connectors.files.config_checks import file_problems
from headrace.connectors.files.connection_test import found_files
from headrace.connectors.files.discovery import file_stream, file_streams
from headrace.connectors.files.local.local_store import LocalStore, is_draft
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.files.selection import StoredFile, is_temporary
from headrace.connectors.files.settings import FileSettings
from headrace.connectors.files.source import FileSource
from headrace.connectors.source import StreamFound

FOLDER = "uploads"
MAX_NAME = 200
_A_DAY_S = 86_400
_SUMS = ".checksums"


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file; `checksum` is the SHA-256 of its content in hexadecimal."""

    name: str
    size: int
    checksum: str
    uploaded_at: datetime


class Uploads:
    """The uploaded files of one connector. All methods raise SourceError."""

    def __init__(self, root: FilesRoot, connector_id: str) -> None:
        self._root = root
        self._store = LocalStore(root)
        self._folder = f"{FOLDER}/{connector_id}"

    def all(self) -> list[Upload]:
        """All files, by name."""
        if not self._store.is_folder(self._folder):
            return []
        files = sorted(self._store.listing(self._folder), key=lambda file: file.name)
        return [self._upload(file) for file in files if not is_temporary(_base(file))]

    def find(self, name: str) -> Upload | None:
        """The file of that name, or None."""
        file = self._store.stat(f"{self._folder}/{checked_name(name)}")
        return None if file is None else self._upload(file)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(upload.size for upload in self.all())

    @contextmanager
    def receiving(self, name: str) -> Iterator[Receiver]:
        """Receives the parts of a file. It replaces a file of that name when the block ends; nothing is stored if the
        block fails."""
        place = f"{self._folder}/{checked_name(name)}"
        self._root.mkdir(parents=True, exist_ok=True)
        self._tidy()
        with self._store.writing(place) as file:
            receiver = Receiver(file)
            yield receiver
        stored = self._store.stat(place)
        assert stored is not None
        self._note(stored, receiver.checksum)

    def remove(self, name: str) -> None:
        """Deletes a file if it exists."""
        self._store.remove(f"{self._folder}/{checked_name(name)}")
        self._store.remove(self._sum_of(name))

    def _tidy(self) -> None:
        """Deletes unfinished files of dead processes."""
        if self._store.is_folder(self._folder):
            for file in self._store.listing(self._folder):
                if is_draft(_base(file)) and file.mtime < time.time() - _A_DAY_S:
                    self._store.remove(file.name)

    def _upload(self, file: StoredFile) -> Upload:
        checksum = self._noted(file) or self._note(file, self._summed(file))
        return Upload(_base(file), file.size, checksum, datetime.fromtimestamp(file.mtime, UTC))

    def _noted(self, file: StoredFile) -> str | None:
        """The checksum stored with the upload, if the file has not changed since."""
        try:
            noted = json.loads(self._store.read(self._sum_of(_base(file))) or "{}")
        except ValueError:
            return None
        same = (noted.get("size"), noted.get("version")) == (file.size, file.version)
        return str(noted["sha256"]) if same else None

    def _note(self, file: StoredFile, checksum: str) -> str:
        noted = {"sha256": checksum, "size": file.size, "version": file.version}
        self._store.write(self._sum_of(_base(file)), json.dumps(noted))
        return checksum

    def _summed(self, file: StoredFile) -> str:
        with self._store.opened(file.name) as opened, opened.path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()

    def _sum_of(self, name: str) -> str:
        return f"{self._folder}/{_SUMS}/{name}.json"


class Receiver:
    """Writes parts and computes their checksum."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.size = 0

    def take(self, piece: bytes) -> None:
        """Adds some bytes."""
        self._file.write(piece)
        self._digest.update(piece)
        self.size += len(piece)

    @property
    def checksum(self) -> str:
        """The checksum of all bytes so far."""
        return self._digest.hexdigest()


def checked_name(name: str) -> str:
    """A valid name for an uploaded file. Raises SourceError(`bad_name`)."""
    reason = ""
    if not name.strip() or name != name.strip():
        reason = "it is empty, or has blanks around it"
    elif len(name.encode(errors="replace")) > MAX_NAME:
        reason = f"it has more than {MAX_NAME} bytes"
    elif any(ord(char) < 32 or char in '/\\:*?"<>|' or "\ud800" <= char <= "\udfff" for char in name):
        reason = "it holds a character that not every file system allows"
    elif is_temporary(name):
        reason = "it begins with a dot, or looks like an unfinished file"
    if reason:
        message = f"'{name[:100]}' cannot be the name of a file: {reason}."
        raise SourceError("bad_name", message, "Send it as orders.csv.")
    return name


def _base(file: StoredFile) -> str:
    return file.name.rpartition("/")[2]


def _open(context: Context) -> FileSource:
    store = LocalStore(context.surroundings.files_root)
    base = f"{FOLDER}/{context.connection.id}"
    return FileSource(
        "csv_upload", context.settings, store, base=base, fields=context.fields, scratch=context.surroundings.scratch
    )


def _check(context: Context) -> Found:
    if not Uploads(context.surroundings.files_root, context.connection.id).all():
        return Found("No file was uploaded yet", {"files": []})
    return found_files(_open(context), "the folder of what was uploaded")


def _streams(context: Context, text: str) -> Sequence[StreamFound]:
    if not Uploads(context.surroundings.files_root, context.connection.id).all():
        return []
    return file_streams(_open)(context, text)


CSV_UPLOAD = Connector(
    "csv_upload",
    ("csv_upload",),
    check=_check,
    open=_open,
    settings=FileSettings,
    problems=file_problems,
    streams=_streams,
    stream=file_stream(_open),
    files=True,
)
