"""A connector record opens no way around the tenants' own logins: the catalog's database is no target, under no name,
and neither are schemas of the server or of the engine. What a run says has no password in it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from headrace.catalog.engine import upgrade
from headrace.catalog.runs.records import ConnectorRecord
from headrace.connectors.connector import Connection
from headrace.connectors.errors import TargetError
from headrace.connectors.postgresql.named_database import named_database
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.ir import parse_ir
from tests.flows.runtime.graphs.world import Mill, document, source, target
from tests.network_postgres import NetworkPostgres
from tests.second_database import SecondDatabase, network_postgres, second

__all__ = ["network_postgres", "second"]

pytestmark = pytest.mark.postgres

LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture
def catalog(network_postgres: NetworkPostgres) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """A database with a catalog of Headrace, over TCP, and the login of somebody who may do everything there."""
    name = f"headrace_{uuid4().hex[:12]}"
    url = network_postgres.superuser.replace("/postgres?", f"/{name}?", 1)
    with psycopg.connect(network_postgres.superuser, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        upgrade(url)
        connection.execute("CREATE ROLE mighty SUPERUSER LOGIN PASSWORD 's3same'")
        with psycopg.connect(url, autocommit=True) as inside:
            inside.execute("CREATE TABLE public.ds_other_tenants (id bigint)")
        yield {**network_postgres.config, "database": name}, {"username": "mighty", "password": "s3same"}
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]
        connection.execute("DROP ROLE mighty")


def mill_of(tmp_path: Path, url: str, record: ConnectorRecord) -> Mill:
    files = tmp_path / "files"
    files.mkdir()
    mill = Mill(files, url)
    mill.named = {"shop": record}
    mill.write("orders.csv", "id", [(1,), (2,)])
    return mill


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_catalogs_database_is_no_target_whatever_the_login_may_do(
    tmp_path: Path, database_url: str, catalog: tuple[dict[str, Any], dict[str, Any]], host: str
) -> None:
    config, login = catalog
    mill = mill_of(tmp_path, database_url, ConnectorRecord("conn_2", "postgresql", {**config, "host": host}, login))
    nodes = [source("orders.csv", {"id": "bigint"}), target("tgt", "src", "ds_other_tenants", connection="shop")]
    with pytest.raises(TargetError, match="has a catalog of Headrace in it") as refused:
        run_in_threads(mill.execution(nodes))
    assert refused.value.code == "catalog_database"
    assert login["password"] not in str(refused.value)


def test_every_connection_is_looked_at_not_only_the_first(catalog: tuple[dict[str, Any], dict[str, Any]]) -> None:
    config, login = catalog
    database = named_database(Connection("conn_2", "postgresql", config, login), LOOPBACK)
    for options in ({}, {"autocommit": True}, {"application_name": "headrace watch"}, {"prepare_threshold": None}):
        with pytest.raises(TargetError, match="catalog"):
            database.connect(**options)


@pytest.mark.parametrize(
    "table", ["pg_catalog.pg_class", "pg_temp.t", "information_schema.t", "_headrace.ledger", "dlq.t", "headrace.runs"]
)
def test_schemas_of_the_server_and_of_the_engine_are_refused(table: str) -> None:
    node = target("tgt", "src", "t", connection="shop") | {"schema": table}
    problems = parse_ir(document([source("orders.csv", {"id": "bigint"}), node])).problems
    assert [each.code for each in problems] == ["reserved_schema"]


def test_the_egress_rules_hold_for_targets(second: SecondDatabase) -> None:
    record = second.connector("conn_2")
    for host in ("127.0.0.1", "169.254.169.254", "10.0.0.1", "[::1]"):
        given = Connection("conn_2", "postgresql", {**record.config, "host": host}, record.credentials)
        with pytest.raises(TargetError) as refused:
            named_database(given, ()).connect()
        assert refused.value.code == "address_refused", host


def test_a_record_reads_nothing_of_the_worker(
    tmp_path: Path, second: SecondDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pgpass").write_text("*:*:*:*:s3same\n")
    (tmp_path / "pgpass").chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))
    monkeypatch.setenv("PGPASSWORD", "s3same")
    monkeypatch.setenv("PGOPTIONS", "-c search_path=evil")
    record = second.connector("conn_2", password="")
    with pytest.raises(TargetError, match="password"):
        named_database(Connection(record.id, record.type, record.config, record.credentials), LOOPBACK).connect()
    record = second.connector("conn_2")
    found = named_database(Connection(record.id, record.type, record.config, record.credentials), LOOPBACK)
    assert "s3same" not in repr(found)
    with found.connect() as connection:
        assert "evil" not in str(connection.execute("SHOW search_path").fetchone())


def test_what_a_role_has_set_for_its_sessions_does_not_change_values(second: SecondDatabase) -> None:
    for setting in ("datestyle = 'German'", "timezone = 'Asia/Tokyo'", "intervalstyle = 'sql_standard'"):
        second.alter(f"ALTER ROLE loader IN DATABASE {second.name} SET {setting}")
    record = second.connector("conn_2")
    database = named_database(Connection(record.id, record.type, record.config, record.credentials), LOOPBACK)
    with database.connect() as connection:
        assert connection.execute("SELECT '01/02/2024'::date, timestamptz '2024-01-01 00:00'::text").fetchone() == (
            date(2024, 1, 2),
            "2024-01-01 00:00:00+00",
        )


def test_a_server_that_never_answers_is_given_up(second: SecondDatabase) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        held: list[socket.socket] = []

        def hold() -> None:
            with suppress(OSError):
                while True:
                    held.append(listener.accept()[0])

        threading.Thread(target=hold, daemon=True).start()
        record = second.connector("conn_2")
        config = {**record.config, "port": listener.getsockname()[1]}
        database = named_database(Connection("conn_2", "postgresql", config, record.credentials), LOOPBACK)
        with pytest.raises(psycopg.OperationalError):
            database.connect(connect_timeout=2)
        for each in held:
            each.close()


def test_a_record_of_another_tenant_is_none(tmp_path: Path, database_url: str, second: SecondDatabase) -> None:
    mill = mill_of(tmp_path, database_url, second.connector("conn_2"))
    nodes = [source("orders.csv", {"id": "bigint"}), target("tgt", "src", "orders", connection="shop")]
    second.alter("CREATE TABLE public.orders (id bigint)")
    job = mill.execution(nodes).prepared.job
    foreign = replace(job, pipeline=replace(job.pipeline, named={}))
    with pytest.raises(TargetError, match="does not exist"):
        _ = foreign.databases
