"""Replications from MongoDB's double: collections become tables of the keys of their documents."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from bson import Decimal128, ObjectId

from headrace.flows.replication.ddl import statements
from headrace.flows.runtime.errors import PlanFailed
from tests.connectors.mongodb.conftest import mongo
from tests.connectors.mongodb.double import Double
from tests.flows.replication.copies import Copies

__all__ = ["mongo"]

pytestmark = pytest.mark.postgres


def test_tables_are_made_from_its_types_and_follow_what_is_new(mongo: Double, database_url: str) -> None:
    at = datetime(2024, 1, 31, 10, tzinfo=UTC)
    mongo.fill(
        "orders",
        [
            {"_id": ObjectId(b"a" * 12), "n": 1, "price": Decimal128("-0.10"), "name": "é", "seen": at, "v": 1},
            {"_id": ObjectId(b"b" * 12), "n": 2**40, "tags": ["x"], "doc": {"a": 1}, "flag": True, "v": 2},
            {"_id": ObjectId(b"c" * 12), "n": "three", "Some Key": 0.1, "v": 3},
        ],
    )
    mongo.fill("old.orders", [{"_id": 1, "a": 1}])
    mongo.fill("hidden", [{"_id": 1}])
    overrides = [{"tables": "orders", "cursor": "v", "deletes": {}}]
    given = {"sources": {"include": ["*"], "exclude": ["hidden"]}, "overrides": overrides}
    copied = Copies(database_url, "mongodb", mongo.config, mongo.credentials, given)
    plans = copied.plans()
    assert {name: (plan.load_mode, plan.key, plan.problems) for name, plan in plans.items()} == {
        "old.orders": ("upsert", ("_id",), ()),
        "orders": ("upsert", ("_id",), ()),
    }
    assert plans["orders"].notes[0].startswith("its columns are those of 3 documents that were sampled")
    assert {each.name: (each.data_type, each.precision) for each in plans["orders"].fields} == {
        **{"_id": ("text", None), "n": ("text", None), "price": ("decimal", None), "name": ("text", None)},
        **{"seen": ("timestamptz", None), "v": ("integer", None), "tags": ("json", None), "doc": ("json", None)},
        **{"flag": ("boolean", None), "Some_Key": ("double", None)},
    }
    [create] = statements(plans["old.orders"])
    assert create == (
        'CREATE TABLE "public"."ds_old_orders" ("_id" integer NOT NULL, "a" integer, PRIMARY KEY ("_id"), '
        '"_headrace_load_id" bigint);'
    )
    assert {name: each.rows_out for name, each in copied.run().items()} == {"old.orders": 1, "orders": 3}
    columns = '_id, n, price::text, name, seen, v, tags::text, doc::text, flag, "Some_Key"'
    assert copied.rows(f"SELECT {columns} FROM public.ds_orders ORDER BY 1") == [
        ("61" * 12, "1", "-0.100000000", "é", at, 1, None, None, None, None),
        ("62" * 12, "1099511627776", None, None, None, 2, '["x"]', '{"a": 1}', True, None),
        ("63" * 12, "three", None, None, None, 3, None, None, None, 0.1),
    ]
    mongo.database.orders.delete_one({"_id": ObjectId(b"b" * 12)})
    change = {"$set": {"name": "changed", "v": 4}, "$unset": {"Some Key": ""}}
    mongo.database.orders.update_one({"_id": ObjectId(b"c" * 12)}, change)
    mongo.fill("later", [{"_id": "a"}])
    assert {name: plan.change for name, plan in copied.plans().items() if plan.change != "known"} == {"later": "new"}
    assert copied.run()["orders"].rows_in == 1
    assert copied.rows('SELECT _id, name, "Some_Key" FROM public.ds_orders ORDER BY 1') == [
        ("61" * 12, "é", None),
        ("63" * 12, "changed", None),
    ]


def test_values_of_another_type_than_the_sample_had_are_error_rows_until_the_column_is_widened(
    mongo: Double, database_url: str
) -> None:
    mongo.fill("t", [{"_id": n, "a": n, "Some Key": n} for n in range(3)])
    copied = Copies(database_url, "mongodb", mongo.config, mongo.credentials, {"sources": {"include": ["t"]}})
    plan = copied.plans()["t"]
    mongo.fill("t", [{"_id": 3, "a": 4.0}, {"_id": 4, "a": "four"}])
    totals = copied._copied(plan)
    # read as text, because of "four": 4.0 is no integer's text
    assert (totals.rows_in, totals.rows_out, totals.failed) == (5, 3, 2)
    assert copied.rows("SELECT _id, a FROM public.ds_t ORDER BY 1") == [(0, 0), (1, 1), (2, 2)]
    mongo.database.t.update_many({}, {"$unset": {"Some Key": ""}})
    plan = copied.plans()["t"]
    assert plan.names == {"_id": "_id", "a": "a", "Some Key": "Some_Key"}, "another sample is no change of columns"
    assert [(before.data_type, after.data_type) for before, after in plan.altered] == [("integer", "text")]
    assert copied.run()["t"].rows_out == 5
    texts = [(0, "0", None), (1, "1", None), (2, "2", None), (3, "4.0", None), (4, "four", None)]
    assert copied.rows('SELECT _id, a, "Some_Key" FROM public.ds_t ORDER BY 1') == texts


def test_a_key_that_no_document_of_the_sample_had_is_not_lost(mongo: Double, database_url: str) -> None:
    """Of a collection with decimals, too, whose fields are declared in sources with known columns."""
    mongo.fill("t", [{"_id": n, "price": Decimal128("1.50")} for n in range(3)])
    how = {"sources": {"include": ["t"]}, "defaults": {"schemaContract": "freeze"}}
    copied = Copies(database_url, "mongodb", mongo.config, mongo.credentials, how)
    plan = copied.plans()["t"]
    mongo.fill("t", [{"_id": 3, "price": Decimal128("1.50"), "rare": "here"}])
    with pytest.raises(PlanFailed, match="rare"):
        copied._copied(plan)
