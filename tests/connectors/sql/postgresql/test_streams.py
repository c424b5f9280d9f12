"""Discovery, and errors of connection tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.sql.postgresql.connector import POSTGRESQL
from headrace.ir.schema import Field
from tests.connectors.sql.postgresql.shop import Shop

pytestmark = pytest.mark.postgres


@pytest.fixture
def stocked(shop: Shop) -> Shop:
    shop.make(
        "CREATE TABLE orders (id int PRIMARY KEY, amount numeric(8,2))",
        "INSERT INTO orders SELECT i, i FROM generate_series(1, 100) i",
        "ANALYZE orders",
        "COMMENT ON TABLE orders IS 'What was ordered'",
        'CREATE TABLE "Odd.Name" (a int, b int, UNIQUE (a))',
        "CREATE VIEW big_orders AS SELECT * FROM orders WHERE amount > 50",
        "CREATE TABLE hidden (id int)",
        "REVOKE ALL ON hidden FROM reader",
        "CREATE TABLE parts (id int) PARTITION BY RANGE (id)",
        "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10)",
    )
    return shop


def test_tables_and_views_that_may_be_read_are_listed(stocked: Shop) -> None:
    assert POSTGRESQL.streams is not None
    found = {each.name: each for each in POSTGRESQL.streams(stocked.context({}), "shop.")}
    assert set(found) == {"shop.orders", "shop.Odd.Name", "shop.big_orders", "shop.parts"}
    orders = found["shop.orders"]
    assert (orders.kind, orders.rows, orders.key, orders.comment) == ("table", 100, ("id",), "What was ordered")
    assert found["shop.big_orders"].kind == "view"
    assert [each.name for each in POSTGRESQL.streams(stocked.context({}), "ODD")] == ["shop.Odd.Name"]
    assert POSTGRESQL.stream is not None
    for each in found.values():  # each can be opened by what it says
        assert POSTGRESQL.stream(stocked.context(each.settings)).name == each.name


def test_one_of_them_is_reported_with_its_columns(stocked: Shop) -> None:
    assert POSTGRESQL.stream is not None
    found = POSTGRESQL.stream(stocked.context({"table": "shop.orders"}))
    assert found.fields == (Field("id", "integer"), Field("amount", "decimal", 8, 2))
    assert (found.rows, found.key, found.settings) == (100, ("id",), {"table": "shop.orders"})
    query = POSTGRESQL.stream(stocked.context({"query": "SELECT id FROM shop.orders"}))
    assert (query.fields, query.kind) == ((Field("id", "integer"),), "query")


@pytest.mark.parametrize(
    ("settings", "config", "credentials", "code", "reported"),
    [
        ({"table": "shop.order"}, {}, {}, "missing_table", "Did you mean 'shop.orders'"),
        ({"table": "orders"}, {}, {}, "missing_table", "There is no table or view"),
        ({"table": "other.shop.orders"}, {}, {}, "missing_table", "another database"),
        ({"table": "shop.hidden"}, {}, {}, "not_permitted", "GRANT SELECT"),
        ({}, {"port": 1}, {}, "connection_failed", "No server listens there"),
        ({}, {"host": "nowhere.invalid"}, {}, "unknown_host", "cannot be found"),
        ({}, {"database": "nowhere"}, {}, "connection_failed", "Check 'database'"),
        ({}, {}, {"password": "wrong"}, "connection_failed", "Check 'username' and 'password'"),
        ({}, {"sslmode": "require"}, {}, "connection_failed", "'sslmode'"),
        ({}, {"sslmode": "perhaps"}, {}, "bad_option", "sslmode"),
    ],
)
def test_a_check_says_what_is_wrong_and_the_remedy(
    stocked: Shop,
    settings: dict[str, Any],
    config: dict[str, Any],
    credentials: dict[str, Any],
    code: str,
    reported: str,
) -> None:
    asked = stocked.logged_in_as(**stocked.credentials | credentials).context(settings, **config)
    with pytest.raises(SourceError) as refused:
        POSTGRESQL.tried(asked)
    assert refused.value.code == code
    assert reported in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_table_of_the_connectors_schema_needs_no_schema(stocked: Shop) -> None:
    found = POSTGRESQL.tried(stocked.context({"table": "orders"}, schema="shop"))
    assert "shop.orders has 2 columns" in found.message
    assert "can be read" in found.message


def test_lineage_calls_it_by_its_place_without_a_credential() -> None:
    connection = Connection("c", "postgresql", {"host": "db.example.org", "port": 5432, "database": "shop"})
    assert POSTGRESQL.dataset is not None
    for settings, name in (
        ({"table": "sales.orders"}, "shop.sales.orders"),
        ({"table": "orders"}, "shop.public.orders"),
        ({"query": "SELECT 1"}, "shop.query"),
    ):
        context = Context(connection, Surroundings(FilesRoot(Path())), settings)
        assert POSTGRESQL.dataset(context) == ("postgres://db.example.org:5432", name)
