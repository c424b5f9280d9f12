"""A PostgreSQL that listens on loopback with a password, for connections like to a user's server."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from headrace.deployments.stack.database.server import DISPOSABLE, EmbeddedPostgres
from tests.once import once

_HBA = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True)
class NetworkPostgres:
    """Where it listens, and the login `reader` that it takes."""

    config: dict[str, object]
    credentials: dict[str, object]
    superuser: str
    """The URL of its database `postgres` for the superuser, over its socket."""


@pytest.fixture(scope="session")
def network_postgres(pytestconfig: pytest.Config) -> NetworkPostgres:
    return once(pytestconfig, _started)


@contextmanager
def _started() -> Iterator[NetworkPostgres]:
    folder = Path(tempfile.mkdtemp(prefix="headrace-"))
    folder.chmod(0o755)
    hba = folder / "hba.conf"
    hba.write_text(_HBA)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    over_tcp = {"listen_addresses": "127.0.0.1", "port": str(port), "hba_file": str(hba)}
    server = EmbeddedPostgres(folder / "postgres", folder / "log", {**DISPOSABLE, **over_tcp})
    try:
        server.start()
        with psycopg.connect(f"{server.url('postgres')}&port={port}", autocommit=True) as connection:
            connection.execute("CREATE ROLE reader LOGIN PASSWORD 'hunter2'")
            connection.execute("CREATE TABLE orders (id int); GRANT SELECT ON orders TO reader")
            connection.execute("CREATE TABLE secrets (id int)")
        yield NetworkPostgres(
            {"host": "127.0.0.1", "port": port, "database": "postgres"},
            {"username": "reader", "password": "hunter2"},
            f"{server.url('postgres')}&port={port}",
        )
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)
