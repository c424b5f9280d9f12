"""Where everything of one stack lives under its data folder, and what it is called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_DATA_DIR = Path(".headrace")
TENANT = "default"
WORK_POOL = "headrace"
STACK_WORKER = "headrace up"
"""The name of the stack's own worker: its runs end with the stack, other workers' need not."""
DATABASE = "headrace"
PREFECT_DATABASE_SUFFIX = "_prefect"


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders and files of the stack in `root` (absolute)."""

    root: Path

    @classmethod
    def of(cls, data_dir: Path) -> Layout:
        return cls(data_dir.expanduser().resolve())

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def prefect_home(self) -> Path:
        return self.root / "prefect"

    @property
    def files(self) -> Path:
        return self.root / "files"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def state(self) -> Path:
        return self.root / "stack.json"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets.json"

    @property
    def lock(self) -> Path:
        return self.root / "stack.lock"

    def log(self, part: str) -> Path:
        """The log of one part: `postgresql`, `prefect`, `worker`, `facade` or `supervisor`."""
        return self.logs / f"{part}.log"

    def create(self) -> None:
        """Makes the folders that have to be there before anything starts."""
        for folder in (self.root, self.prefect_home, self.files, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
