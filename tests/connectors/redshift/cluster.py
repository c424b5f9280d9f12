"""A test double of a Redshift cluster: the embedded PostgreSQL with views of Redshift's catalog, behind the proxy
`Front`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.redshift.connector import REDSHIFT
from headrace.connectors.sql.source import SqlSource
from headrace.deployments.stack.database.server import EmbeddedPostgres
from headrace.ir.schema import Schema
from tests.connectors.redshift.front import Front
from tests.connectors.sql.postgresql.shop import LOOPBACK, PASSWORD
from tests.object_store import BUCKET, ObjectStore
from tests.once import once

ROLE = "arn:aws:iam::012345678901:role/unloads"
SECRET = "a-secret-access-key"
OWN_TYPES = {"super": 4000, "varbyte": 6551, "geometry": 3000, "hllsketch": 2935}
_SHIM = [
    *(
        statement.format(kind=kind)
        for kind in OWN_TYPES
        for statement in (
            "CREATE TYPE {kind}",
            "CREATE FUNCTION {kind}_in(cstring) RETURNS {kind} IMMUTABLE STRICT LANGUAGE internal AS 'textin'",
            "CREATE FUNCTION {kind}_out({kind}) RETURNS cstring IMMUTABLE STRICT LANGUAGE internal AS 'textout'",
            "CREATE TYPE {kind} (INPUT = {kind}_in, OUTPUT = {kind}_out, LIKE = text)",
            "CREATE CAST ({kind} AS text) WITHOUT FUNCTION",
        )
    ),
    "CREATE FUNCTION \"json_serialize\"(super) RETURNS varchar IMMUTABLE LANGUAGE sql AS 'SELECT $1::text::varchar'",
    "CREATE FUNCTION to_hex(varbyte) RETURNS varchar IMMUTABLE LANGUAGE sql AS 'SELECT $1::text::varchar'",
    "CREATE FUNCTION getdate() RETURNS timestamp STABLE LANGUAGE sql "
    "AS $$SELECT date_trunc('second', now() AT TIME ZONE 'UTC')$$",
    "CREATE VIEW svv_tables AS SELECT table_catalog, table_schema, table_name, table_type, obj_description("
    "format('%I.%I', table_schema, table_name)::regclass) AS remarks FROM information_schema.tables "
    "WHERE table_schema <> 'public'",
    "CREATE VIEW svv_columns AS SELECT table_catalog, table_schema, table_name, column_name, ordinal_position, "
    "is_nullable, data_type, col_description(format('%I.%I', table_schema, table_name)::regclass, "
    "ordinal_position) AS remarks FROM information_schema.columns",
    "GRANT SELECT ON svv_tables, svv_columns TO reader",
]


@dataclass
class Cluster:
    """One database with the empty schema `shop`, as its owner sees it and as the login `reader` does."""

    front: Front
    owner: str
    store: ObjectStore | None = None
    prefix: str = field(default_factory=lambda: uuid4().hex[:8])

    @property
    def config(self) -> dict[str, Any]:
        """Of a connector; with a bucket to unload to, if there is a store."""
        place: dict[str, Any] = {"host": "localhost", "port": self.front.port, "database": "warehouse"}
        place |= {"sslmode": "prefer", "schema": "shop"}
        if self.store is None:
            return place
        endpoint = self.store.environment["AWS_ENDPOINT_URL"]
        to = {"unloadTo": f"s3://{BUCKET}/{self.prefix}", "unloadRole": ROLE, "region": "us-east-1"}
        return place | to | {"s3Endpoint": endpoint}

    @property
    def credentials(self) -> dict[str, Any]:
        login = {"username": "reader", "password": PASSWORD}
        return login if self.store is None else login | {"accessKeyId": "headrace", "secretAccessKey": SECRET}

    def make(self, *statements: str) -> None:
        """Executes as the owner."""
        with psycopg.connect(self.owner, autocommit=True, options="-csearch_path=shop,public") as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.owner, autocommit=True, options="-csearch_path=shop,public") as connection:
            return connection.execute(statement.encode()).fetchall()

    def context(self, settings: Mapping[str, Any], fields: Schema = (), **config: Any) -> Context:
        connection = Connection("conn_1", "redshift", self.config | config, self.credentials)
        return Context(connection, Surroundings(FilesRoot(Path("/nowhere")), LOOPBACK), settings, fields)

    def source(self, fields: Schema = (), **settings: Any) -> SqlSource:
        source = REDSHIFT.source(self.context(settings, fields))
        assert isinstance(source, SqlSource)
        return source

    def objects(self) -> list[str]:
        """What is in the folder that is unloaded to."""
        assert self.store is not None
        return sorted(each for each in self.store.objects() if each.startswith(f"{self.prefix}/"))


@pytest.fixture(scope="session")
def warehouse(pytestconfig: pytest.Config, server: tuple[EmbeddedPostgres, int]) -> tuple[str, dict[int, int]]:
    """A database as Redshift has them: its owner's URL, and its own types by their numbers here."""
    return once(pytestconfig, _warehouse, server)


@contextmanager
def _warehouse(server: tuple[EmbeddedPostgres, int]) -> Iterator[tuple[str, dict[int, int]]]:
    running, port = server
    with psycopg.connect(f"{running.url('postgres')}&port={port}", autocommit=True) as connection:
        connection.execute("CREATE DATABASE warehouse")
        connection.execute("ALTER DATABASE warehouse SET standard_conforming_strings = off")
        connection.execute("ALTER DATABASE warehouse SET escape_string_warning = off")
    owner = f"{running.url('warehouse')}&port={port}"
    with psycopg.connect(owner, autocommit=True) as connection:
        for statement in _SHIM:
            connection.execute(statement.encode())
        found = connection.execute("SELECT typname, oid FROM pg_type WHERE typname = ANY(%s)", [list(OWN_TYPES)])
        oids = {oid: OWN_TYPES[name] for name, oid in found.fetchall()}
    yield owner, oids


@pytest.fixture
def small_cluster(server: tuple[EmbeddedPostgres, int], warehouse: tuple[str, dict[int, int]]) -> Iterator[Cluster]:
    """A cluster that unloads nothing."""
    yield from _cluster(server[1], *warehouse, None)


@pytest.fixture
def cluster(
    server: tuple[EmbeddedPostgres, int], warehouse: tuple[str, dict[int, int]], object_store: ObjectStore
) -> Iterator[Cluster]:
    """A cluster that unloads into a bucket."""
    yield from _cluster(server[1], *warehouse, object_store)


def _cluster(port: int, owner: str, oids: dict[int, int], store: ObjectStore | None) -> Iterator[Cluster]:
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS shop CASCADE")
        connection.execute("CREATE SCHEMA shop")
        connection.execute("GRANT USAGE ON SCHEMA shop TO reader")
        connection.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO reader")

    def put(url: str, content: bytes) -> None:
        assert store is not None
        store.client.put_object(Bucket=BUCKET, Key=url.removeprefix(f"s3://{BUCKET}/"), Body=content)

    inner = f"host=127.0.0.1 port={port} dbname=warehouse user=reader password={PASSWORD}"
    front = Front(port, inner, put, oids)
    yield Cluster(front, owner, store)
    front.close()
