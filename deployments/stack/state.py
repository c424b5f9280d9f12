"""`stack.json`: where a running stack can be found, for clients and for the next command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deployments.stack.private import read_json, write_private_json


@dataclass(frozen=True, slots=True)
class StackState:
    """The addresses of a running stack. URLs have no trailing slash; `database_url` is a libpq URL."""

    api_url: str
    """The facade with its base path: `http://127.0.0.1:8000/api/v1`."""
    api_key: str
    prefect_url: str
    prefect_api_url: str
    database_url: str
    files_root: Path
    pid: int
    """The supervisor's process."""

    def write(self, path: Path) -> None:
        """Writes `path`, readable by its owner only."""
        document = {
            "apiUrl": self.api_url,
            "apiKey": self.api_key,
            "prefectUrl": self.prefect_url,
            "prefectApiUrl": self.prefect_api_url,
            "databaseUrl": self.database_url,
            "filesRoot": str(self.files_root),
            "pid": self.pid,
        }
        write_private_json(path, document)

    @classmethod
    def read(cls, path: Path) -> StackState | None:
        """The state in `path`; None when there is none. It may be stale: whether a stack runs is the lock's to say."""
        document = read_json(path)
        if document is None:
            return None
        try:
            return cls(
                api_url=str(document["apiUrl"]),
                api_key=str(document["apiKey"]),
                prefect_url=str(document["prefectUrl"]),
                prefect_api_url=str(document["prefectApiUrl"]),
                database_url=str(document["databaseUrl"]),
                files_root=Path(document["filesRoot"]),
                pid=int(document["pid"]),
            )
        except (KeyError, TypeError, ValueError):
            return None
