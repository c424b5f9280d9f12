"""Discovery, and errors of connection tests."""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.sql.mysql.connector import MYSQL
from headrace.ir.schema import Field
from tests.connectors.sql.mysql.market import Market
from tests.connectors.sql.postgresql.shop import PASSWORD


@pytest.fixture
def stocked(market: Market) -> Market:
    market.make(
        "CREATE TABLE orders (id int PRIMARY KEY, amount decimal(8,2), doc json) COMMENT 'What was ordered'",
        "INSERT INTO orders SELECT seq, seq, '{}' FROM seq_1_to_100",
        "ANALYZE TABLE orders",
        "CREATE TABLE `Odd.Na``me` (a int, b int, UNIQUE (a))",
        "CREATE VIEW big_orders AS SELECT * FROM orders WHERE amount > 50",
        "DROP DATABASE IF EXISTS other",
        "CREATE DATABASE other",
        "CREATE TABLE other.hidden (id int)",
        "CREATE TABLE other.half (id int, secret int)",
        "GRANT SELECT (id) ON other.half TO reader@'%'",
    )
    return market


def test_tables_and_views_that_may_be_read_are_listed(stocked: Market) -> None:
    assert MYSQL.streams is not None
    assert MYSQL.stream is not None
    found = {each.name: each for each in MYSQL.streams(stocked.context({}), "")}
    assert set(found) == {"shop.orders", "shop.Odd.Na`me", "shop.big_orders", "other.half"}
    orders = found["shop.orders"]
    assert (orders.kind, orders.rows, orders.key, orders.comment) == ("table", 100, ("id",), "What was ordered")
    assert found["shop.big_orders"].kind == "view"
    assert [each.name for each in MYSQL.streams(stocked.context({}), "ODD")] == ["shop.Odd.Na`me"]
    for each in found.values():  # each can be opened by what it says
        assert MYSQL.stream(stocked.context(each.settings)).name == each.name
    assert MYSQL.stream(stocked.context({"table": "other.half"})).fields == (Field("id", "integer"),)


def test_one_of_them_is_reported_with_its_columns(stocked: Market) -> None:
    assert MYSQL.stream is not None
    found = MYSQL.stream(stocked.context({"table": "shop.orders"}))
    assert found.fields == (Field("id", "integer"), Field("amount", "decimal", 8, 2), Field("doc", "json"))
    assert (found.rows, found.key, found.settings) == (100, ("id",), {"table": "shop.orders"})
    query = MYSQL.stream(stocked.context({"query": "SELECT id, amount FROM orders"}))
    assert (query.fields, query.kind) == ((Field("id", "integer"), Field("amount", "decimal", 8, 2)), "query")


@pytest.mark.parametrize(
    ("settings", "config", "credentials", "code", "reported"),
    [
        ({"table": "shop.order"}, {}, {}, "missing_table", "Did you mean 'shop.orders'"),
        ({"table": "a.shop.orders"}, {}, {}, "bad_table", "database.table"),
        ({"table": "other.hidden"}, {}, {}, "missing_table", "may see"),
        ({"query": "SELECT secret FROM other.half"}, {}, {}, "not_permitted", "GRANT SELECT"),
        ({}, {"port": 1}, {}, "connection_failed", "No server listens there"),
        ({}, {"host": "nowhere.invalid"}, {}, "unknown_host", "cannot be found"),
        ({}, {"database": "nowhere"}, {}, "connection_failed", "'database'|GRANT SELECT"),
        ({}, {}, {"password": "wrong"}, "connection_failed", "Check 'username' and 'password'"),
        ({}, {}, {"password": "€"}, "connection_failed", "Check 'username' and 'password'"),
        ({}, {"database": "shop", "sslmode": "disable"}, {"username": "sealed"}, "connection_failed", "Check"),
        ({}, {"sslmode": "perhaps"}, {}, "bad_option", "sslmode"),
        ({}, {}, {"username": None}, "bad_credentials", "'username' and 'password'"),
    ],
)
def test_a_check_says_what_is_wrong_and_the_remedy(
    stocked: Market,
    settings: dict[str, Any],
    config: dict[str, Any],
    credentials: dict[str, Any],
    code: str,
    reported: str,
) -> None:
    asked = stocked.logged_in_as(**stocked.credentials | credentials).context(settings, **config)
    with pytest.raises(SourceError) as refused:
        MYSQL.tried(asked)
    assert refused.value.code == code
    assert any(each in str(refused.value) for each in reported.split("|"))
    assert PASSWORD not in str(refused.value)


def test_a_check_says_what_it_saw(stocked: Market) -> None:
    found = MYSQL.tried(stocked.context({"table": "orders"}))
    assert found.message.startswith("MariaDB 10.") or "MariaDB 1" in found.message
    assert "database shop, TLS: 4 tables can be read; shop.orders has 3 columns" in found.message
    assert "shop.orders" in found.sample["tables"]


def test_an_address_inside_is_not_dialled(market: Market) -> None:
    context = market.context({})
    inside = Context(context.connection, Surroundings(FilesRoot(Path("/nowhere")), ()), {})
    with pytest.raises(SourceError) as refused:
        MYSQL.tried(inside)
    assert refused.value.code == "address_refused"


def test_what_is_no_mysql_is_reported(market: Market) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        answers = [b"SSH-2.0-x\r\n", b"", b"\x05\x00\x00\x00\x0aabcd", b"HTTP/1.1 400 Bad\r\n\r\n" * 20]

        def serve() -> None:
            for answer in answers:
                client, _ = listening.accept()
                with client:
                    client.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        for _ in answers:
            with pytest.raises(SourceError) as refused:
                MYSQL.tried(market.context({}, port=listening.getsockname()[1], host="127.0.0.1"))
            assert refused.value.code == "connection_failed"
            assert refused.value.hint


def test_lineage_calls_it_by_its_place_without_a_credential() -> None:
    connection = Connection("c", "mysql", {"host": "db.example.org", "port": 3306, "database": "shop"})
    assert MYSQL.dataset is not None
    for settings, name in (
        ({"table": "sales.orders"}, "sales.orders"),
        ({"table": "orders"}, "shop.orders"),
        ({"query": "SELECT 1"}, "shop.query"),
    ):
        context = Context(connection, Surroundings(FilesRoot(Path())), settings)
        assert MYSQL.dataset(context) == ("mysql://db.example.org:3306", name)
