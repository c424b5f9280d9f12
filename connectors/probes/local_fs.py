"""Is the folder there, and what is in it?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from connectors.base import SourceError
from connectors.files.local_fs import LocalFiles
from connectors.probes.base import Found, Surroundings

_SHOWN = 10


def probe_local_files(config: Mapping[str, Any], credentials: Mapping[str, Any], surroundings: Surroundings) -> Found:
    """Lists the newest files of the connector's folder."""
    del credentials
    try:
        files = LocalFiles({}, files_root=surroundings.files_root, connection=config).listing()
    except OSError as error:
        raise SourceError("not_readable", f"The folder cannot be read: {error.strerror}.") from None
    newest = sorted(files, key=lambda file: (-file.mtime, file.name))[:_SHOWN]
    folder = config.get("basePath") or "the files folder"
    shown = [
        {
            "name": file.name,
            "size": file.size,
            "modifiedAt": datetime.fromtimestamp(file.mtime, UTC).isoformat(timespec="milliseconds")[:23] + "Z",
        }
        for file in newest
    ]
    return Found(f"{len(files):,} file{'' if len(files) == 1 else 's'} in {folder}", {"files": shown})
