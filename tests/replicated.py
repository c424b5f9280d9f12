"""A PostgreSQL whose tables are replicated: two schemas, keys, comments, odd names, a table without a key, a view, and
tables without rows; on loopback and with a password."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from headrace.deployments.stack.database.server import EmbeddedPostgres
from tests.connectors.sql.postgresql.shop import PASSWORD, server

__all__ = ["Replicated", "replicated", "server"]

TABLES = """
CREATE SCHEMA sales;
CREATE SCHEMA "Stock-Room";
CREATE TABLE sales.customers (
    id bigint PRIMARY KEY, name varchar(80) NOT NULL, vip boolean, joined date, updated_at timestamptz NOT NULL
);
COMMENT ON TABLE sales.customers IS 'Who buys';
COMMENT ON COLUMN sales.customers.name IS 'As on the invoice: it''s "free" text, 100%';
INSERT INTO sales.customers
SELECT n, 'customer ' || n, n % 2 = 0, date '2024-01-01' + n, timestamptz '2026-01-01 00:00:00+00' + n * interval '1 s'
FROM generate_series(1, 100) AS n;
CREATE TABLE sales.orders (
    region text, number int, total numeric(12, 2), precise numeric, doc json, docs jsonb, token uuid, raw bytea,
    tags text[], span interval, at timestamp, updated_at timestamptz NOT NULL, PRIMARY KEY (region, number)
);
INSERT INTO sales.orders
SELECT CASE n % 2 WHEN 0 THEN 'north' ELSE 'south' END, n, n * 1.25, n / 7.0, '{"a":  1}', '{"b": 2}',
       ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, decode('00ff', 'hex'), ARRAY['x', NULL, 'y z'],
       n * interval '1 minute', timestamp '2026-01-01' + n * interval '1 s',
       timestamptz '2026-01-01 00:00:00+00' + n * interval '1 s'
FROM generate_series(1, 1000) AS n;
CREATE TABLE sales.log (line text, seen timestamptz);
INSERT INTO sales.log VALUES ('first', now()), ('second', now()), ('second', now());
CREATE TABLE sales.empty (id int PRIMARY KEY, note text);
CREATE TABLE sales.nothing (note text);
CREATE VIEW sales.totals AS SELECT region, sum(total) AS total FROM sales.orders GROUP BY region;
CREATE TABLE "Stock-Room"."Order Lines" ("Line No." int PRIMARY KEY, "line_no_" text, "select" int, "größe" text);
INSERT INTO "Stock-Room"."Order Lines" VALUES (1, 'a', 2, 'L'), (2, 'b', 3, 'XL');
CREATE TABLE sales.secrets (id int);
GRANT USAGE ON SCHEMA sales, "Stock-Room" TO reader;
GRANT SELECT ON ALL TABLES IN SCHEMA sales, "Stock-Room" TO reader;
REVOKE SELECT ON sales.secrets FROM reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA sales GRANT SELECT ON TABLES TO reader;
"""


@dataclass(frozen=True)
class Replicated:
    """Where it listens, and its owner's libpq URL."""

    owner: str
    config: dict[str, Any]
    credentials: dict[str, Any]

    def make(self, *statements: str) -> None:
        """Executes as the owner."""
        with psycopg.connect(self.owner, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Asks as the owner."""
        with psycopg.connect(self.owner, options="-ctimezone=UTC") as connection:
            return connection.execute(query.encode()).fetchall()

    def connector(self, name: str) -> dict[str, Any]:
        """The body of a connector that reads it."""
        return {"name": name, "type": "postgresql", "config": self.config, "authConfig": self.credentials}


@pytest.fixture
def replicated(server: tuple[EmbeddedPostgres, int]) -> Replicated:
    """It is recreated for each test."""
    running, port = server
    with psycopg.connect(f"{running.url('postgres')}&port={port}", autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS replicated WITH (FORCE)")
        connection.execute("CREATE DATABASE replicated")
    owner = f"{running.url('replicated')}&port={port}"
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(TABLES)
    config = {"host": "localhost", "port": port, "database": "replicated", "sslmode": "prefer"}
    return Replicated(owner, config, {"username": "reader", "password": PASSWORD})


def document(name: str, connection: str, **more: Any) -> dict[str, Any]:
    """A replication of the schema `sales`."""
    return {
        "kind": "replication",
        "version": "1.0",
        "id": name,
        "metadata": {"name": name},
        "connection": connection,
        "sources": {"include": ["sales.*"]},
        **more,
    }
