"""A MariaDB that is a source, on loopback, with a password and TLS."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.sql.mysql.connector import MYSQL
from headrace.connectors.sql.source import SqlSource
from headrace.deployments.stack.process import die_with_parent
from headrace.ir.schema import Schema
from tests.connectors.sql.postgresql.shop import LOOPBACK, PASSWORD, Certificates, certificates
from tests.connectors.stores.emulators import missing
from tests.once import once

__all__ = ["certificates"]

DATABASE = "shop"
_PATIENCE_S = 60.0
_PROGRAMS = ("mariadbd", "mariadb-install-db")
_USERS = (
    f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4",
    f"CREATE USER reader@'%' IDENTIFIED BY '{PASSWORD}'",
    f"GRANT SELECT ON {DATABASE}.* TO reader@'%'",
    f"CREATE USER sealed@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE SSL",
    f"CREATE USER badge@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE X509",
    "CREATE USER nobody@'%' IDENTIFIED BY 'nothing'",
)


def _programs() -> list[str]:
    """Debian's, which are installed where that can be done without asking. Where not, the test is left out, and fails
    in CI."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = [shutil.which(name, path=path) for name in _PROGRAMS]
    if not all(found) and shutil.which("apt-get") and os.geteuid() == 0:
        command = ["apt-get", "install", "-y", "--no-install-recommends", "mariadb-server-core", "mariadb-client-core"]
        quietly = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(command, capture_output=True, check=False, timeout=600, env=quietly)
        found = [shutil.which(name, path=path) for name in _PROGRAMS]
    if not all(found):
        missing("MariaDB", "apt-get install mariadb-server-core mariadb-client-core")
    return [str(each) for each in found]


@dataclass(frozen=True)
class Market:
    """The database `shop`, empty, as its owner sees it and as the login `reader` does."""

    port: int
    socket: str
    config: dict[str, Any]
    credentials: dict[str, Any] = field(default_factory=lambda: {"username": "reader", "password": PASSWORD})

    def make(self, *statements: str) -> None:
        """Executes as the owner."""
        with owner(self.socket) as run:
            for statement in statements:
                run(statement)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """As text, in UTC."""
        with owner(self.socket) as run:
            return run(statement)

    def context(self, settings: Mapping[str, Any], fields: Schema = (), **config: Any) -> Context:
        connection = Connection("conn_1", "mysql", self.config | config, self.credentials)
        return Context(connection, Surroundings(FilesRoot(Path("/nowhere")), LOOPBACK), settings, fields)

    def source(self, fields: Schema = (), **settings: Any) -> SqlSource:
        source = MYSQL.source(self.context(settings, fields))
        assert isinstance(source, SqlSource)
        return source

    def logged_in_as(self, **credentials: Any) -> Market:
        return replace(self, credentials=credentials)


@contextmanager
def owner(path: str) -> Iterator[Any]:
    """Runs statements as the server's owner, in the database of the tests."""
    import asyncio

    from asyncmy.connection import Connection as Driver
    from asyncmy.cursors import Cursor

    loop = asyncio.SelectorEventLoop()

    async def dialled() -> Any:
        made = Driver(unix_socket=path, user="root", password="", conv={}, autocommit=True, charset="utf8mb4")
        await made.connect()
        return made

    async def ran(statement: str) -> list[tuple[Any, ...]]:
        cursor = Cursor(connection)
        await cursor.execute(statement)
        return list(await cursor.fetchall()) if cursor.description else []

    connection = loop.run_until_complete(dialled())
    try:
        for setting in ("SET SESSION time_zone = '+00:00', sql_mode = 'ALLOW_INVALID_DATES'", f"USE {DATABASE}"):
            try:
                loop.run_until_complete(ran(setting))
            except Exception as error:
                if "Unknown database" not in str(error):
                    raise
        yield lambda statement: loop.run_until_complete(ran(statement))
    finally:
        loop.run_until_complete(connection.ensure_closed())
        loop.close()


@pytest.fixture(scope="session")
def mariadb(pytestconfig: pytest.Config, certificates: Certificates) -> tuple[str, int]:
    """The socket and the port of a server that this session started."""
    return once(pytestconfig, _started, certificates)


@contextmanager
def _started(certificates: Certificates) -> Iterator[tuple[str, int]]:
    server, install = _programs()
    folder = Path(tempfile.mkdtemp(prefix="headrace-maria-"))
    user = ["--user=root"] if os.geteuid() == 0 else []
    (folder / "ca.pem").write_text(certificates.authority)
    (folder / "cert.pem").write_text(certificates.server[0])
    (folder / "key.pem").write_text(certificates.server[1])
    data, path, log = folder / "data", folder / "s.sock", folder / "log"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made = subprocess.run(
        [install, "--no-defaults", *user, f"--datadir={data}", "--auth-root-authentication-method=normal"],
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert made.returncode == 0, made.stdout.decode() + made.stderr.decode()
    options = (
        *("--skip-name-resolve", "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0"),
        *("--innodb-log-file-size=32M", "--performance-schema=OFF", "--default-time-zone=+05:30"),
        *(f"--ssl-ca={folder}/ca.pem", f"--ssl-cert={folder}/cert.pem", f"--ssl-key={folder}/key.pem"),
        *(f"--datadir={data}", f"--port={port}", "--bind-address=127.0.0.1", f"--socket={path}"),
        *(f"--log-error={log}", f"--pid-file={folder}/pid", f"--plugin-dir={folder}"),
    )
    running = subprocess.Popen(
        [server, "--no-defaults", *user, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509
    )
    try:
        _wait(path, running, log)
        with owner(str(path)) as run:
            for statement in _USERS:
                run(statement)
        yield str(path), port
    finally:
        running.terminate()
        running.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


def _wait(path: Path, running: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until:
        if running.poll() is not None:
            break
        if path.exists():
            with suppress(Exception), owner(str(path)) as run:
                run("SELECT 1")
                return
        time.sleep(0.1)
    pytest.fail(f"MariaDB did not start:\n{log.read_text()[-2000:] if log.exists() else ''}")


@pytest.fixture
def market(mariadb: tuple[str, int]) -> Market:
    path, port = mariadb
    with owner(path) as run:
        run(f"DROP DATABASE IF EXISTS {DATABASE}")
        run(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4")
    return Market(port, path, {"host": "localhost", "port": port, "database": DATABASE, "sslmode": "prefer"})
