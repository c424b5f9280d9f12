"""Databases on a separate server for targets with a connector record, connected to over TCP with a password."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from headrace.catalog.runs.records import ConnectorRecord
from tests.network_postgres import NetworkPostgres, network_postgres

__all__ = ["SecondDatabase", "network_postgres", "new_database", "second", "third"]

LOGIN = {"username": "loader", "password": "s3same"}


@dataclass(frozen=True)
class SecondDatabase:
    """One database, which its login owns; `superuser` is its URL over the socket."""

    name: str
    config: dict[str, Any]
    superuser: str

    def connector(self, record_id: str, **credentials: str) -> ConnectorRecord:
        """A record for it, with other credentials where some are given."""
        return ConnectorRecord(record_id, "postgresql", self.config, {**LOGIN, **credentials})

    def alter(self, statement: str) -> None:
        """Runs a statement as the login."""
        login = f"postgresql://{LOGIN['username']}:{LOGIN['password']}@127.0.0.1:{self.config['port']}/{self.name}"
        with psycopg.connect(login, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]

    def give(self, schema: str) -> None:
        """Makes what the superuser has made in a schema the login's own."""
        made = "SELECT tablename::text FROM pg_tables WHERE schemaname = %s"
        with psycopg.connect(self.superuser, autocommit=True) as connection:
            tables = [name for (name,) in connection.execute(made, (schema,)).fetchall()]
            for what in (f"SCHEMA {schema}", *(f"TABLE {schema}.{name}" for name in tables)):
                connection.execute(f"ALTER {what} OWNER TO loader")  # type: ignore[call-overload]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What the superuser sees."""
        with psycopg.connect(self.superuser) as connection:
            return connection.execute(query).fetchall()  # type: ignore[call-overload, no-any-return]


def new_database(server: NetworkPostgres) -> Iterator[SecondDatabase]:
    """A database for one test."""
    name = f"shop_{uuid4().hex[:12]}"
    with psycopg.connect(server.superuser, autocommit=True) as connection:
        if not connection.execute("SELECT FROM pg_roles WHERE rolname = 'loader'").fetchall():
            connection.execute("CREATE ROLE loader LOGIN PASSWORD 's3same'")
        connection.execute(f"CREATE DATABASE {name} OWNER loader")  # type: ignore[call-overload]
        yield SecondDatabase(
            name, {**server.config, "database": name}, server.superuser.replace("/postgres?", f"/{name}?", 1)
        )
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]


@pytest.fixture
def second(network_postgres: NetworkPostgres) -> Iterator[SecondDatabase]:
    yield from new_database(network_postgres)


@pytest.fixture
def third(network_postgres: NetworkPostgres) -> Iterator[SecondDatabase]:
    yield from new_database(network_postgres)
