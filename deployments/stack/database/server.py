"""An embedded PostgreSQL: the programs of a wheel, one data directory, one Unix socket, no TCP port.

The server is a child process of its starter. On Linux it shuts down when its parent dies; elsewhere the next start
takes the running server over.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

from headrace.deployments.errors import HeadraceError
from headrace.deployments.stack.database.installation import (
    SUPERUSER,
    Account,
    check_version,
    clean_environment,
    find_binaries,
    initialise,
    let_through,
    socket_folder,
    system_account,
)
from headrace.deployments.stack.process import Restarts, die_with_parent, last_lines

_IDENT_MAP = "headrace"
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_ORPHAN_SECONDS = 10.0
_LET_IN_SECONDS = 10.0

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    # For the catalog and Prefect, whatever the number of runs (`deployments.stack.database.roles`).
    "reserved_connections": "50",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    # Without replication, COPY into a new table skips the WAL.
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "maintenance_work_mem": "256MB",
    "work_mem": "16MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

DISPOSABLE: Mapping[str, str] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
"""Settings for a server with disposable data (tests)."""

KILLABLE: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off"}
"""Settings for a server that is killed while its machine keeps running (tests): committed data survives."""


class EmbeddedPostgres:
    """One PostgreSQL server with the data directory `data` (created when missing) and the log file `log`."""

    def __init__(
        self,
        data: Path,
        log: Path,
        settings: Mapping[str, str | None] | None = None,
        *,
        access: Sequence[str] = (),
        binaries: Path | None = None,
    ) -> None:
        """`access`: additional lines of `pg_hba.conf`, for a server that listens on TCP (tests). `binaries`: the folder
        of the programs, else `find_binaries`. A setting that is None is left as the server has it."""
        self._access, self._binaries = tuple(access), binaries
        self.data, self.log = data.resolve(), log.resolve()
        self._account: Account | None = None
        self._superuser_allowed = True
        self._settings = {name: value for name, value in {**SETTINGS, **(settings or {})}.items() if value is not None}
        self._child: subprocess.Popen[bytes] | None = None
        self._taken_over: int | None = None
        self._socket_dir = self.data
        self._restarts = Restarts()

    @property
    def pid(self) -> int | None:
        """The server's process id; None when it does not run."""
        return _running(self.data)

    def url(self, database: str, user: str = SUPERUSER, password: str | None = None) -> str:
        """The libpq URL of a database. Only this system user can connect as the superuser, until
        `block_superuser`."""
        login = user if password is None else f"{user}:{quote(password, safe='')}"
        return f"postgresql://{login}@/{database}?host={quote(str(self._socket_dir), safe='/')}"

    def block_superuser(self) -> None:
        """Rejects all logins as the superuser, also after a restart by `repair`. Another object that starts the server
        or takes it over allows this system user again."""
        with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=10) as connection:
            self._superuser_allowed = False
            self._write_access()
            connection.execute("SELECT pg_reload_conf()")

    def start(self) -> None:
        """Starts the server, or takes over the one that runs on the folder; returns when it accepts connections.

        Raises StackError with the end of the log when it does not start within 60 s.
        """
        binaries = self._binaries or find_binaries()
        check_version(binaries, self.data)
        account = self._account = system_account(self.data) if os.geteuid() == 0 else None
        self.data.mkdir(parents=True, exist_ok=True)
        self.data.chmod(0o700)
        if account is not None:
            os.chown(self.data, account.uid, account.gid)
            let_through(self.data.parent)
            let_through(binaries)
        if not (self.data / "PG_VERSION").exists():
            initialise(binaries, self.data, account)
        self._write_access()
        self._child = None
        if (taken_over := _running(self.data)) is None:
            _end_orphans(self.data)
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            self._socket_dir = socket_folder(self.data, account)
            self._child = self._spawn(binaries, account)
        else:
            os.kill(taken_over, signal.SIGHUP)  # reloads pg_hba.conf
        self._wait_until_ready()
        if self._child is None and self._superuser_allowed:
            self._wait_until_superuser_allowed()

    def check(self) -> None:
        """Raises StackError with the end of the log when the server has ended since `start`."""
        gone = self._child.poll() is not None if self._child is not None else self._server() is None
        if gone:
            raise HeadraceError(f"PostgreSQL ended. The end of {self.log}:\n{last_lines(self.log)}")

    def repair(self) -> bool:
        """Restarts the server if it has ended, with growing pauses; returns whether it did. Raises StackError when it
        does not start; may be called again."""
        if self._server() is not None or not self._restarts.due():
            return False
        self.start()
        return True

    def stop(self) -> None:
        """Shuts the server down (open transactions are rolled back); returns when the process has ended.

        Without a previous `start`, stops the server found on the folder; never one that another process has started
        there since.
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

    def _wait_until_superuser_allowed(self) -> None:
        deadline = time.monotonic() + _LET_IN_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=10).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    def _write_access(self) -> None:
        """Writes pg_hba.conf and pg_ident.conf: roles log in with passwords; the superuser has none and is allowed for
        this system user only, by peer authentication."""
        ours = {pwd.getpwuid(os.geteuid()).pw_name, pwd.getpwuid(self.data.stat().st_uid).pw_name}
        lines = [f"local all {SUPERUSER} " + (f"peer map={_IDENT_MAP}" if self._superuser_allowed else "reject")]
        texts = {
            "pg_hba.conf": "\n".join(
                ["# Headrace writes this file.", *lines, "local all all scram-sha-256", *self._access]
            ),
            "pg_ident.conf": "\n".join(f'{_IDENT_MAP} "{name}" {SUPERUSER}' for name in sorted(ours)),
        }
        for name, text in texts.items():
            draft = self.data / f".{name}"
            draft.write_text(text + "\n", encoding="utf-8")
            draft.chmod(0o600)
            if self._account is not None:
                os.chown(draft, self._account.uid, self._account.gid)
            draft.replace(self.data / name)

    def _server(self) -> psutil.Process | None:
        """The process of this object: the one it started or took over, else the one that runs on the folder."""
        if self._child is not None:
            return psutil.Process(self._child.pid) if self._child.poll() is None else None
        pid = _running(self.data)
        return psutil.Process(pid) if pid is not None and self._taken_over in (None, pid) else None

    def _spawn(self, binaries: Path, account: Account | None) -> subprocess.Popen[bytes]:
        command = [str(binaries / "postgres"), "-D", str(self.data), "-k", str(self._socket_dir)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        with self.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                command,
                cwd=self.data,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the supervisor, which stops the components in order
                preexec_fn=die_with_parent(signal.SIGINT),  # noqa: PLW1509
                user=None if account is None else account.uid,
                group=None if account is None else account.gid,
                extra_groups=None if account is None else [],
            )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._child is not None and self._child.poll() is not None:
                raise HeadraceError(f"PostgreSQL did not start:\n{last_lines(self.log)}")
            lines = _pid_file(self.data)
            if len(lines) >= 8 and lines[7].strip() == "ready":
                self._socket_dir = Path(lines[4].strip())
                self._taken_over = None if self._child is not None else int(lines[0])
                return
            time.sleep(0.02)
        raise HeadraceError(f"PostgreSQL was not ready within {_START_SECONDS:.0f} s:\n{last_lines(self.log)}")


def _end_orphans(data: Path) -> None:
    """Waits for the backends of a killed server to end, and kills those that do not: two servers must never share a
    folder, and the pid file that prevents it is removed next."""
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
    """Creates the database `name` on the server of the libpq URL unless it exists. Raises psycopg.Error."""
    with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
        if found is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def _pid_file(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []


def _running(data: Path) -> int | None:
    """The pid of the server on `data`; None if there is none, or if another process has its pid."""
    lines = _pid_file(data)
    try:
        process = psutil.Process(int(lines[0]))
        if process.name().startswith("postgres") and process.status() != psutil.STATUS_ZOMBIE:
            return int(lines[0])
    except (IndexError, ValueError, psutil.Error):
        return None
    return None
