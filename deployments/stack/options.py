"""The options of `headrace up`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class StackOptions:
    """Port 0 selects a free one. `database_url` (libpq) replaces the embedded PostgreSQL."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8000
    prefect_port: int = 4200
    database_url: str | None = None
    prefect_database_url: str | None = None
    owner_database_url: str | None = None
    """For migrations. This and the next two default to `database_url`; the embedded PostgreSQL ignores them."""
    run_database_url: str | None = None
    tenant_login_key: str | None = None
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
