"""Replications from Redshift's double: its names, types and comments, rows, and what is new since the last run."""

from __future__ import annotations

import pytest

from headrace.flows.replication.ddl import statements
from tests.connectors.redshift.cluster import Cluster, small_cluster, warehouse
from tests.connectors.sql.postgresql.shop import server
from tests.flows.replication.copies import Copies

__all__ = ["server", "small_cluster", "warehouse"]

pytestmark = pytest.mark.postgres


def test_tables_are_made_from_its_types_and_follow_what_is_new(small_cluster: Cluster, database_url: str) -> None:
    small_cluster.make(
        "CREATE TABLE orders (id bigint, price numeric(12,2), f real, name varchar(80), flag boolean, day date, "
        "seen timestamp, utc timestamptz, doc super, raw varbyte, shape geometry)",
        "COMMENT ON TABLE orders IS 'All orders'",
        "COMMENT ON COLUMN orders.name IS 'As on the invoice'",
        "INSERT INTO orders VALUES (1, -0.10, 0.1, 'é', TRUE, '2024-02-29', '2024-01-31 10:00:00.5', "
        "'2024-01-31 10:00:00.5+00', '{\"a\":1.10}', '00ff', '0101')",
        "INSERT INTO orders (id, name, seen) VALUES (2, 'b', '2024-01-31 11:00:00'), (3, 'c', '2024-01-31 12:00:00')",
        "CREATE TABLE log (line varchar(9))",
        "INSERT INTO log VALUES ('a'), ('a')",
        "CREATE VIEW cheap AS SELECT id, price FROM orders WHERE price < 1",
        "CREATE TABLE hidden (id int)",
    )
    overrides = [{"tables": "shop.orders", "cursor": "seen", "key": "id", "deletes": {}}]
    given = {"sources": {"include": ["shop.*"], "exclude": ["shop.hidden"]}, "overrides": overrides}
    copied = Copies(database_url, "redshift", small_cluster.config, small_cluster.credentials, given)
    plans = copied.plans()
    assert {name: (plan.load_mode, plan.problems) for name, plan in plans.items()} == {
        "shop.cheap": ("replace", ()),
        "shop.log": ("replace", ()),
        "shop.orders": ("upsert", ()),
    }
    assert statements(plans["shop.orders"]) == [
        'CREATE TABLE "public"."ds_shop_orders" ("id" bigint NOT NULL, "price" numeric(12, 2), "f" double precision, '
        '"name" varchar(80), "flag" boolean, "day" date, "seen" timestamp, "utc" timestamptz, "doc" jsonb, '
        '"raw" text, "shape" text, PRIMARY KEY ("id"), "_headrace_load_id" bigint);',
        'COMMENT ON TABLE "public"."ds_shop_orders" IS \'All orders\';',
        'COMMENT ON COLUMN "public"."ds_shop_orders"."name" IS \'As on the invoice\';',
    ]
    rows = {"shop.cheap": 1, "shop.log": 2, "shop.orders": 3}
    assert {name: each.rows_out for name, each in copied.run().items()} == rows
    [(row,)] = copied.rows("SELECT row_to_json(t)::text FROM public.ds_shop_orders t WHERE id = 1")
    assert row.split(',"_headrace')[0] == (
        '{"id":1,"price":-0.10,"f":0.10000000149011612,"name":"é","flag":true,"day":"2024-02-29",'
        '"seen":"2024-01-31T10:00:00.5","utc":"2024-01-31T10:00:00.5+00:00","doc":{"a": 1.10},"raw":"\\\\x00ff",'
        '"shape":"0101"'
    )
    small_cluster.make(
        "DELETE FROM orders WHERE id = 2",
        "UPDATE orders SET name = 'changed', seen = '2024-02-01 00:00:00' WHERE id = 3",
        "CREATE TABLE later (id int)",
    )
    assert {name: plan.change for name, plan in copied.plans().items() if plan.change != "known"} == {
        "shop.later": "new"
    }
    assert copied.run()["shop.orders"].rows_in == 1
    assert copied.rows("SELECT id, name FROM public.ds_shop_orders ORDER BY 1") == [(1, "é"), (3, "changed")]
