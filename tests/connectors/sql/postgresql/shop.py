"""A PostgreSQL that is a source, on loopback and with a password; certificates for a proxy in front of it."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.sql.postgresql.connector import POSTGRESQL
from headrace.connectors.sql.source import SqlSource
from headrace.deployments.stack.database.server import DISPOSABLE, EmbeddedPostgres
from headrace.ir.schema import Schema
from tests.once import once

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
PASSWORD = "hunter2"
_HBA = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True)
class Certificates:
    """PEM texts: an authority, another that signed nothing here, the server's, and one of the user `badge`."""

    authority: str
    stranger: str
    server: tuple[str, str]
    badge: tuple[str, str]


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def _signed(name: str, key: Any, by: tuple[x509.Name, Any] | None, *, names: tuple[str, ...] = ()) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signing = by or (subject, key)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
    )
    if names:
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False)
    return made.sign(signing, hashes.SHA256())


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    return _certificates()


@cache
def _certificates() -> Certificates:
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(4)]
    authority, stranger = _signed("authority", keys[0], None), _signed("stranger", keys[1], None)
    by = (authority.subject, keys[0])
    server, badge = _signed("server", keys[2], by, names=("localhost",)), _signed("badge", keys[3], by)
    text = [each.public_bytes(serialization.Encoding.PEM).decode() for each in (authority, stranger, server, badge)]
    return Certificates(text[0], text[1], (text[2], _pem(keys[2])), (text[3], _pem(keys[3])))


@dataclass(frozen=True)
class Shop:
    """The database `source` with one empty schema `shop`, as its owner sees it and as the login `reader` does."""

    port: int
    owner: str
    """The superuser's libpq URL."""
    config: dict[str, Any]
    credentials: dict[str, Any] = field(default_factory=lambda: {"username": "reader", "password": PASSWORD})

    def make(self, *statements: str) -> None:
        """Executes as the owner."""
        with psycopg.connect(self.owner, autocommit=True, options="-csearch_path=shop") as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.owner, autocommit=True, options="-csearch_path=shop") as connection:
            return connection.execute(statement.encode()).fetchall()

    def context(self, settings: Mapping[str, Any], fields: Schema = (), **config: Any) -> Context:
        connection = Connection("conn_1", "postgresql", self.config | config, self.credentials)
        return Context(connection, Surroundings(FilesRoot(Path("/nowhere")), LOOPBACK), settings, fields)

    def source(self, fields: Schema = (), **settings: Any) -> SqlSource:
        source = POSTGRESQL.source(self.context(settings, fields))
        assert isinstance(source, SqlSource)
        return source

    def logged_in_as(self, **credentials: Any) -> Shop:
        return replace(self, credentials=credentials)


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config) -> tuple[EmbeddedPostgres, int]:
    return once(pytestconfig, _started)


@contextmanager
def _started() -> Iterator[tuple[EmbeddedPostgres, int]]:
    folder = Path(tempfile.mkdtemp(prefix="headrace-"))
    folder.chmod(0o755)
    hba = folder / "hba.conf"
    hba.write_text(_HBA)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    over_tcp = {"listen_addresses": "127.0.0.1", "port": str(port), "hba_file": str(hba)}
    running = EmbeddedPostgres(folder / "postgres", folder / "log", {**DISPOSABLE, **over_tcp})
    try:
        running.start()
        with psycopg.connect(f"{running.url('postgres')}&port={port}", autocommit=True) as connection:
            connection.execute(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'".encode())
            connection.execute("CREATE DATABASE source")
        yield running, port
    finally:
        running.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def shop(server: tuple[EmbeddedPostgres, int]) -> Shop:
    running, port = server
    owner = f"{running.url('source')}&port={port}"
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS shop CASCADE")
        connection.execute("CREATE SCHEMA shop")
        connection.execute("GRANT USAGE ON SCHEMA shop TO reader")
        connection.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO reader")
    return Shop(port, owner, {"host": "localhost", "port": port, "database": "source", "sslmode": "prefer"})
