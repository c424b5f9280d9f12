"""The result of a connection test of a file store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from headrace.connectors.connector import Found
from headrace.connectors.files.paths import printable
from headrace.connectors.files.source import FileSource

_SHOWN = 10


def found_files(source: FileSource, folder: str) -> Found:
    """The newest files of a folder, as the result of a connection test. Raises SourceError."""
    files = source.listing()
    newest = sorted(files, key=lambda file: (-file.mtime, file.name))[:_SHOWN]
    sample = [
        {
            "name": printable(file.name.rpartition("/")[2]),  # as a source's path names it
            "size": file.size,
            "modifiedAt": datetime.fromtimestamp(file.mtime, UTC).isoformat(timespec="milliseconds")[:23] + "Z",
        }
        for file in newest
    ]
    found: dict[str, Any] = {"files": sample}
    message = f"{len(files):,} file{'' if len(files) == 1 else 's'}"
    if folders := [printable(each) for each in source.folders() if not each.startswith(".")]:
        message += f" and {len(folders):,} folder{'' if len(folders) == 1 else 's'}"
        found["folders"] = folders[:_SHOWN]
    return Found(f"{message} in {folder}", found)
