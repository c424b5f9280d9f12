"""Whether a stack runs on a data folder (the lock) and at which addresses (`stack.json`)."""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from headrace.deployments.errors import HeadraceError
from headrace.deployments.prefect.api import PrefectApi
from headrace.deployments.stack.private_files import read_json, write_private_json

_WRITTEN_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class StackState:
    """The addresses of a running stack. URLs have no trailing slash; `database_url` is a libpq URL."""

    api_url: str
    """The API with its base path: `http://127.0.0.1:8000/api/v1`."""
    api_key: str
    prefect_url: str
    prefect_api_url: str
    prefect_auth_string: str
    """`user:password` for the stack's Prefect."""
    database_url: str
    files_root: Path
    pid: int
    """The supervisor's process."""

    @property
    def prefect_api(self) -> PrefectApi:
        """Prefect's API with its credentials."""
        return PrefectApi(self.prefect_api_url, self.prefect_auth_string)

    def write(self, path: Path) -> None:
        """Writes `path`, readable by its owner only."""
        document = {
            "apiUrl": self.api_url,
            "apiKey": self.api_key,
            "prefectUrl": self.prefect_url,
            "prefectApiUrl": self.prefect_api_url,
            "prefectAuthString": self.prefect_auth_string,
            "databaseUrl": self.database_url,
            "filesRoot": str(self.files_root),
            "pid": self.pid,
        }
        write_private_json(path, document)

    @classmethod
    def read(cls, path: Path) -> StackState | None:
        """The state in `path`; None when there is none. It may be stale: only the lock shows whether a stack runs."""
        document = read_json(path)
        if document is None:
            return None
        try:
            return cls(
                api_url=str(document["apiUrl"]),
                api_key=str(document["apiKey"]),
                prefect_url=str(document["prefectUrl"]),
                prefect_api_url=str(document["prefectApiUrl"]),
                prefect_auth_string=str(document["prefectAuthString"]),
                database_url=str(document["databaseUrl"]),
                files_root=Path(document["filesRoot"]),
                pid=int(document["pid"]),
            )
        except (KeyError, TypeError, ValueError):
            return None


class AlreadyRunning(HeadraceError):
    """A stack already runs on this folder; `pid` is its supervisor."""

    def __init__(self, root: Path, pid: int | None) -> None:
        state = StackState.read(root / "stack.json")
        where = f", its API at {state.api_url}" if state is not None else ""
        super().__init__(
            f"Headrace already runs on {root} (process {pid}{where}).",
            f"Stop it with `headrace down --data-dir {root}`, or choose another --data-dir.",
        )
        self.pid = pid


class StackLock:
    """The lock of a running supervisor; a context manager. Raises AlreadyRunning when another process holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def __enter__(self) -> StackLock:
        while (descriptor := self._taken()) is None:
            if (pid := holder(self._path)) is not None:
                raise AlreadyRunning(self._path.parent, pid)
            time.sleep(0.01)  # it was free again, or another process only checked it
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        self._descriptor = descriptor
        return self

    def _taken(self) -> int | None:
        # Not inherited by children (PEP 446), so it cannot outlive the supervisor.
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def holder(path: Path) -> int | None:
    """The process that holds the lock `path`; None when it is free. Waits for a process that has just taken it until it
    has written its id; raises HeadraceError when it does not."""
    deadline = time.monotonic() + _WRITTEN_WITHIN_S
    while True:
        held, text = _look(path)
        if not held:
            return None
        if text.isdigit() and _lives(int(text)):  # else of a process that was killed before
            return int(text)
        if time.monotonic() > deadline:
            raise HeadraceError(
                f"A process holds {path} and has not written its id there.", "Find it with `fuser`, and end it."
            )
        time.sleep(0.01)


def _look(path: Path) -> tuple[bool, str]:
    """Whether the lock is held, and what is written in it then."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False, ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True, os.read(descriptor, 32).decode(errors="replace")
    finally:
        os.close(descriptor)
    return False, ""


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True
