"""Replications from MariaDB: types, names, keys and comments become those of the tables, and rows are those there."""

from __future__ import annotations

import pytest

from headrace.flows.replication.ddl import statements
from tests.connectors.sql.mysql.market import Market, certificates, mariadb, market
from tests.flows.replication.copies import Copies

__all__ = ["certificates", "mariadb", "market"]

pytestmark = pytest.mark.postgres

TYPED = """
CREATE TABLE orders (
    id bigint unsigned PRIMARY KEY COMMENT 'it''s the number', `Line No.` int unsigned, price decimal(12,2),
    huge decimal(65,30),
    f float, flag tinyint(1), name varchar(80) NOT NULL, kind enum('x','y'), raw varbinary(9), doc json, day date,
    at datetime(6), utc timestamp(6) NULL, span time, bits bit(3), y year, note longtext, token uuid
) COMMENT 'All orders'
"""


def copies(market: Market, url: str, **how: object) -> Copies:
    given = {"sources": {"include": ["shop.*"]}, **how}
    return Copies(url, "mysql", market.config, market.credentials, given)


def test_types_names_keys_and_comments_are_those_of_the_source(market: Market, database_url: str) -> None:
    market.make(
        TYPED,
        "INSERT INTO orders VALUES (18446744073709551615, 4294967295, -0.10, 12345678901234567890123456789012345."
        "123456789012345678901234567891, 0.1, 2, 'é', 'y', X'00ff', '{\"a\":  1.10}', '2024-02-29', "
        "'2024-01-31 10:00:00.000001', '2024-01-31 10:00:00.5', '23:59:59', b'101', 2024, 'n', "
        "'00000000-0000-0000-0000-000000000001')",
        "CREATE TABLE `Log` (line text)",
        "INSERT INTO `Log` VALUES ('a'), ('a')",
        "CREATE TABLE pairs (a varchar(9), b int, v int, PRIMARY KEY (a, b))",
        "INSERT INTO pairs VALUES ('x', 1, 1), ('X', 2, 2)",
        "CREATE TABLE links (a int, b int, PRIMARY KEY (a, b))",
        "INSERT INTO links VALUES (1, 2), (1, 3)",
        "CREATE VIEW totals AS SELECT kind, SUM(price) AS total FROM orders GROUP BY kind",
    )
    copied = copies(market, database_url)
    plans = copied.plans()
    assert {name: (plan.load_mode, plan.problems) for name, plan in plans.items()} == {
        "shop.Log": ("replace", ()),
        "shop.links": ("replace", ()),
        "shop.orders": ("upsert", ()),
        "shop.pairs": ("upsert", ()),
        "shop.totals": ("replace", ()),
    }
    assert statements(plans["shop.orders"]) == [
        'CREATE TABLE "public"."ds_shop_orders" ("id" numeric(20, 0) NOT NULL, "Line_No" bigint, '
        '"price" numeric(12, 2), "huge" numeric(65, 30), "f" double precision, "flag" smallint, '
        '"name" varchar(80), "kind" text, "raw" '
        'text, "doc" jsonb, "day" date, "at" timestamp, "utc" timestamptz, "span" time, "bits" text, "y" smallint, '
        '"note" text, "token" uuid, PRIMARY KEY ("id"), "_headrace_load_id" bigint);',
        'COMMENT ON TABLE "public"."ds_shop_orders" IS \'All orders\';',
        'COMMENT ON COLUMN "public"."ds_shop_orders"."id" IS \'it\'\'s the number\';',
    ]
    totals = copied.run()
    assert {name: (each.rows_out, each.failed) for name, each in totals.items()} == {
        "shop.Log": (2, 0),
        "shop.links": (2, 0),
        "shop.orders": (1, 0),
        "shop.pairs": (2, 0),
        "shop.totals": (1, 0),
    }
    [(row,)] = copied.rows("SELECT row_to_json(t)::text FROM public.ds_shop_orders t")
    assert row.split(',"_headrace')[0] == (
        '{"id":18446744073709551615,"Line_No":4294967295,"price":-0.10,"huge":12345678901234567890123456789012345.'
        '123456789012345678901234567891,"f":0.10000000149011612,"flag":2,"name":"é","kind":"y","raw":"\\\\x00ff",'
        '"doc":{"a": 1.10},"day":"2024-02-29","at":"2024-01-31T10:00:00.000001","utc":"2024-01-31T10:00:00.5+00:00",'
        '"span":"23:59:59","bits":"\\\\x05","y":2024,"note":"n","token":"00000000-0000-0000-0000-000000000001"'
    )


def test_the_next_runs_follow_rows_columns_tables_and_deletes(market: Market, database_url: str) -> None:
    market.make(
        "CREATE TABLE a (id int PRIMARY KEY, name varchar(9), at timestamp(6) NOT NULL)",
        "INSERT INTO a SELECT seq, CONCAT('n', seq), NOW(6) - INTERVAL 1 HOUR FROM seq_1_to_20",
    )
    copied = copies(market, database_url, defaults={"cursor": "at", "deletes": {}})
    assert copied.run()["shop.a"].rows_out == 20
    market.make(
        "DELETE FROM a WHERE id IN (3, 4)",
        "ALTER TABLE a ADD COLUMN extra int, MODIFY name varchar(30)",
        "UPDATE a SET extra = 7, name = 'a longer name than nine', at = NOW(6) - INTERVAL 1 SECOND WHERE id = 5",
        "CREATE TABLE b (id int PRIMARY KEY)",
        "INSERT INTO b VALUES (1)",
    )
    plans = copied.plans()
    assert {name: plan.change for name, plan in plans.items()} == {"shop.a": "changed", "shop.b": "new"}
    assert [statement.split(" ", 3)[3] for statement in statements(plans["shop.a"])] == [
        'ADD COLUMN "extra" integer;',
        'ALTER COLUMN "name" TYPE varchar(30) USING "name"::varchar(30);',
    ]
    totals = copied.run()
    assert (totals["shop.a"].rows_in, totals["shop.b"].rows_out) == (1, 1)
    found = copied.rows("SELECT id, name, extra FROM public.ds_shop_a WHERE id BETWEEN 2 AND 6 ORDER BY id")
    assert found == [(2, "n2", None), (5, "a longer name than nine", 7), (6, "n6", None)]


def test_a_history_and_a_mirror_of_events(market: Market, database_url: str) -> None:
    market.make(
        "CREATE TABLE a (id int PRIMARY KEY, name varchar(9))",
        "INSERT INTO a VALUES (1, 'x'), (2, 'y'), (3, 'z')",
        "CREATE TABLE events (seq bigint PRIMARY KEY, op char(1), id int, name varchar(9))",
        "INSERT INTO events VALUES (1, 'c', 1, 'a'), (2, 'c', 2, 'b'), (3, 'u', 1, 'A'), (4, 'd', 2, NULL)",
    )
    copied = copies(
        market,
        database_url,
        defaults={"loadMode": "scd2", "deletes": {"maxShare": 0.5}},
        overrides=[
            {"tables": "shop.events", "loadMode": "cdc_mirror", "key": "id", "cursor": "seq", "deletes": None},
        ],
    )
    assert {name: plan.problems for name, plan in copied.plans().items()} == {"shop.a": (), "shop.events": ()}
    copied.run()
    market.make(
        "UPDATE a SET name = 'X' WHERE id = 1",
        "DELETE FROM a WHERE id = 3",
        "INSERT INTO events VALUES (5, 'c', 2, 'again'), (6, 'd', 1, NULL)",
    )
    totals = copied.run()
    assert totals["shop.events"].rows_in == 2
    assert copied.rows("SELECT id, name, is_current FROM public.ds_shop_a ORDER BY id, is_current") == [
        (1, "x", False),
        (1, "X", True),
        (2, "y", True),
        (3, "z", False),
    ]
    assert copied.rows("SELECT id, name, seq::int FROM public.ds_shop_events") == [(2, "again", 5)]
