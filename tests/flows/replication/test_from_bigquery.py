"""Replications from BigQuery's double: its names, types and keys, rows, and what is new since the last run."""

from __future__ import annotations

import pytest

from headrace.flows.replication.ddl import statements
from tests.connectors.bigquery.conftest import bigquery
from tests.connectors.bigquery.double import Double
from tests.flows.replication.copies import Copies

__all__ = ["bigquery"]

pytestmark = pytest.mark.postgres

TYPES = {
    **{"id": "INTEGER", "price": "NUMERIC", "f": "FLOAT", "name": "STRING", "flag": "BOOLEAN", "day": "DATE"},
    **{"seen": "DATETIME", "utc": "TIMESTAMP", "doc": "JSON", "raw": "BYTES"},
}


def test_tables_are_made_from_its_types_and_follow_what_is_new(bigquery: Double, database_url: str) -> None:
    fields = [{"name": name, "type": kind} for name, kind in TYPES.items()]
    fields[3]["description"] = "As on the invoice"
    bigquery.table("orders", [*fields, {"name": "tags", "type": "STRING", "mode": "REPEATED"}])
    bigquery.make(
        "INSERT INTO orders (id, price, f, name, flag, day, seen, utc, doc, raw, tags) VALUES "
        "(1, -0.1, 0.1, 'é', TRUE, '2024-02-29', '2024-01-31T10:00:00.5', TIMESTAMP '2024-01-31 10:00:00.5+00', "
        "JSON '{\"a\":1}', FROM_HEX('00ff'), ['x', 'y'])",
        "INSERT INTO orders (id, name, seen) VALUES (2, 'b', '2024-01-31T11:00:00'), (3, 'c', '2024-01-31T12:00:00')",
        "CREATE TABLE `Log` (line STRING)",
        "INSERT INTO `Log` VALUES ('a'), ('a')",
        "CREATE VIEW cheap AS SELECT id, price FROM sales.orders WHERE price < 1",
        "CREATE TABLE hidden (id INT64)",
    )
    bigquery.control(keys={"sales.orders": ["id"]})
    overrides = [{"tables": "sales.orders", "cursor": "seen", "deletes": {}}]
    given = {"sources": {"include": ["sales.*"], "exclude": ["sales.hidden"]}, "overrides": overrides}
    copied = Copies(database_url, "bigquery", bigquery.config, bigquery.credentials, given)
    plans = copied.plans()
    assert {name: (plan.load_mode, plan.problems) for name, plan in plans.items()} == {
        "sales.Log": ("replace", ()),
        "sales.cheap": ("replace", ()),
        "sales.orders": ("upsert", ()),
    }
    assert statements(plans["sales.orders"]) == [
        'CREATE TABLE "public"."ds_sales_orders" ("id" bigint NOT NULL, "price" numeric(38, 9), "f" double precision, '
        '"name" text, "flag" boolean, "day" date, "seen" timestamp, "utc" timestamptz, "doc" jsonb, "raw" text, '
        '"tags" jsonb, PRIMARY KEY ("id"), "_headrace_load_id" bigint);',
        'COMMENT ON COLUMN "public"."ds_sales_orders"."name" IS \'As on the invoice\';',
    ]
    assert plans["sales.orders"].notes[1] == "raw: BYTES is held as text, as the source writes it"
    rows = {"sales.Log": 2, "sales.cheap": 1, "sales.orders": 3}
    assert {name: each.rows_out for name, each in copied.run().items()} == rows
    [(row,)] = copied.rows("SELECT row_to_json(t)::text FROM public.ds_sales_orders t WHERE id = 1")
    assert row.split(',"_headrace')[0] == (
        '{"id":1,"price":-0.100000000,"f":0.1,"name":"é","flag":true,"day":"2024-02-29",'
        '"seen":"2024-01-31T10:00:00.5","utc":"2024-01-31T10:00:00.5+00:00","doc":{"a": 1},"raw":"\\\\x00ff",'
        '"tags":["x", "y"]'
    )
    bigquery.make(
        "DELETE FROM orders WHERE id = 2",
        "UPDATE orders SET name = 'changed', seen = '2024-02-01T00:00:00' WHERE id = 3",
        "CREATE TABLE later (id INT64)",
    )
    assert {name: plan.change for name, plan in copied.plans().items() if plan.change != "known"} == {
        "sales.later": "new"
    }
    assert copied.run()["sales.orders"].rows_in == 1
    assert copied.rows("SELECT id, name FROM public.ds_sales_orders ORDER BY 1") == [(1, "é"), (3, "changed")]
