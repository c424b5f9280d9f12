"""The files and folders of a stack in its data folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from headrace.deployments.errors import HeadraceError
from headrace.deployments.stack.private_files import make_private

DEFAULT_DATA_DIR = Path(".headrace")
TENANT = "default"
WORK_POOL = "headrace"
STACK_WORKER = "headrace up"
"""The name of the stack's own worker. Its runs end with the stack; other workers' runs do not."""
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
    def staging(self) -> Path:
        """Used unless HEADRACE_STAGING_URL or HEADRACE_FILES_ROOT names another place."""
        return self.root / "staging"

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
        """The log of one component: `postgresql`, `prefect`, `worker`, `facade` or `supervisor`."""
        return self.logs / f"{part}.log"

    def create(self) -> None:
        """Creates the folders needed before anything starts, accessible to this user only (also those of an older
        release). The mode of an existing `root` is kept: it may contain other things. Raises StackError.
        """
        for folder in (self.root, self.prefect_home, self.files, self.logs):
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                what = "is a file" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror
                raise HeadraceError(f"{folder} cannot be made: {what}.", "Give another folder: --data-dir.") from None
        for folder in (self.prefect_home, self.files, self.staging, self.logs):
            make_private(folder)
        for log in self.logs.iterdir():
            make_private(log)


RUN_FOLDERS = "headrace-runs"


def sweep_run_folders(prefect_home: Path) -> None:
    """Removes the working folders of runs. No worker may be running with this home."""
    shutil.rmtree(prefect_home / RUN_FOLDERS, ignore_errors=True)
