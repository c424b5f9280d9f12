"""A PostgreSQL connection is tried as a run would make it: only where connectors may dial, with the login given."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from headrace.connectors.connector import Surroundings
from headrace.connectors.errors import SourceError
from tests.connectors.trying import tried
from tests.network_postgres import NetworkPostgres, network_postgres

__all__ = ["network_postgres"]

LOOPBACK = Surroundings(Path(), [ip_network("127.0.0.0/8"), ip_network("::1/128")])
probe = partial(tried, "postgresql")


@pytest.mark.postgres
def test_it_logs_in_and_shows_the_tables_that_login_may_read(network_postgres: NetworkPostgres) -> None:
    found = probe(network_postgres.config, network_postgres.credentials, LOOPBACK)
    assert found.sample == {"tables": ["public.orders"]}
    assert ": 1 table can be read" in found.message
    named = network_postgres.config | {"host": "localhost"}
    assert probe(named, {"user": "reader", "password": "hunter2"}, LOOPBACK).sample == found.sample


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("config", "credentials", "reported"),
    [
        ({}, {"password": "wrong"}, "password authentication failed"),
        ({}, {"password": ""}, "no password supplied"),
        ({"database": "nowhere"}, {}, "nowhere"),
        ({"sslmode": "require"}, {}, "does not support SSL"),
    ],
)
def test_a_refusal_says_why_and_not_the_password(
    network_postgres: NetworkPostgres,
    monkeypatch: pytest.MonkeyPatch,
    config: dict[str, Any],
    credentials: dict[str, Any],
    reported: str,
) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter2")  # the server's own, not to be lent
    with pytest.raises(SourceError, match=reported) as refused:
        probe(network_postgres.config | config, network_postgres.credentials | credentials, LOOPBACK)
    assert refused.value.code == "connection_failed"
    assert "hunter2" not in str(refused.value)


def test_without_a_user_it_says_what_is_missing() -> None:
    with pytest.raises(SourceError, match="username"):
        probe({"host": "127.0.0.1", "port": 1, "database": "x"}, {"password": "hunter2"}, LOOPBACK)


@pytest.fixture
def listener() -> Iterator[tuple[int, list[Any]]]:
    """A port that takes connections and never answers, and who came."""
    came: list[Any] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def accept() -> None:
            while True:
                try:
                    came.append(server.accept())
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], came
    for connection, _ in came:
        connection.close()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "::1", "[::1]", "::ffff:127.0.0.1", "0.0.0.0", "169.254.169.254"]
)
def test_the_servers_own_network_is_not_dialled(host: str, listener: tuple[int, list[Any]]) -> None:
    port, came = listener
    with pytest.raises(SourceError, match="may not reach") as refused:
        probe({"host": host, "port": port, "database": "x"}, {"username": "u"}, Surroundings(Path()))
    assert refused.value.code == "address_refused"
    assert came == []


@pytest.mark.parametrize(
    "host", ["/tmp", "a,127.0.0.1", "x host=127.0.0.1", "@abstract", "a b", "-x", "x/y", "2130706433", "127.1"]
)
def test_what_is_no_host_is_refused(host: str, listener: tuple[int, list[Any]]) -> None:
    port, came = listener
    with pytest.raises(SourceError) as refused:
        probe({"host": host, "port": port, "database": "x"}, {"username": "u"}, LOOPBACK)
    assert refused.value.code in ("bad_host", "unknown_host")
    assert came == []


def test_a_database_name_is_a_name_and_not_a_connection_string(listener: tuple[int, list[Any]]) -> None:
    port, came = listener
    config = {"host": "127.0.0.1", "port": 1, "database": f"host=127.0.0.1 port={port}"}
    with pytest.raises(SourceError, match="refused"):
        probe(config, {"username": "u"}, LOOPBACK)
    assert came == []


def test_a_server_that_never_answers_is_given_up(listener: tuple[int, list[Any]]) -> None:
    port, came = listener
    with pytest.raises(SourceError, match="timeout"):
        probe({"host": "127.0.0.1", "port": port, "database": "x"}, {"username": "u"}, LOOPBACK)
    assert len(came) >= 1
