"""What `headrace up` can be told."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class StackOptions:
    """Port 0 picks a free one. `database_url` (libpq) replaces the embedded PostgreSQL."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8000
    prefect_port: int = 4200
    database_url: str | None = None
    prefect_database_url: str | None = None
    files_root: Path | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> StackOptions:
        document = json.loads(text)
        files_root = document.pop("files_root")
        return cls(
            data_dir=Path(document.pop("data_dir")),
            files_root=None if files_root is None else Path(files_root),
            **document,
        )
