"""Whole runs into PostgreSQL: every value, and a retry that continues after the loaded rows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import bson
import psycopg
import pytest
from bson import Decimal128, Int64, ObjectId

from headrace.connectors.errors import SourceError
from headrace.connectors.mongodb.source import MongoSource
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.flows.runtime.stored_plan import stored_plan
from tests.connectors.mongodb.double import Double
from tests.flows.runtime.runs import Runner

pytestmark = pytest.mark.postgres


def nodes(**settings: Any) -> list[dict[str, Any]]:
    config = {"collection": "t", "partitioning": {"by": "none"}, **settings}
    return [
        {"id": "src", "kind": "source", "connector": "mongodb", "config": config},
        {"id": "out", "kind": "target", "input": "src", "schema": "public.ds_rows", "loadMode": "append"},
    ]


def runner(mongo: Double, database_url: str) -> Runner:
    return Runner(Path("/nowhere"), database_url, mongo.credentials, type="mongodb", config=mongo.config)


def test_every_value_arrives_or_is_reported(mongo: Double, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "CREATE TABLE public.ds_rows "
            "(_id text, whole bigint, number numeric, at timestamptz, text text, inside json)"
        )
    good: dict[str, Any] = {
        "_id": ObjectId("a" * 24),
        "whole": Int64(2**63 - 1),
        "number": Decimal128("12345678901234567890123456789.123456789"[:35]),
        "at": datetime(1969, 12, 31, 23, 59, 59, 999000, UTC),
        "text": "a\tb\n\\N \u20ac",
        "inside": {"n": Decimal128("0.10"), "list": [Int64(2**62), None, "\x01"]},
    }
    bad = {
        "zero": {**good, "text": "a\0b"},
        "large": {**good, "number": Decimal128("1E+40")},
        "far": {**good, "at": bson.datetime_ms.DatetimeMS(2**62)},
        "mixed": {**good, "whole": "many"},
    }
    mongo.can("t", *(bson.encode({**each, "_id": name}) for name, each in bad.items()), bson.encode(good))
    runs = runner(mongo, database_url)
    fields = {
        "_id": "text",
        "whole": "bigint",
        "number": "decimal",
        "at": "timestamptz",
        "text": "text",
        "inside": "json",
    }
    document = nodes()
    document[0]["fields"] = [{"name": name, "dataType": kind} for name, kind in fields.items()]
    summary = runs.run(document)
    with psycopg.connect(database_url) as connection:
        loaded = connection.execute("SELECT _id, whole, number, at, text, inside::text FROM public.ds_rows").fetchall()
    assert loaded == [
        (
            "a" * 24,
            2**63 - 1,
            Decimal("12345678901234567890123456789.12345"),
            good["at"],
            good["text"],
            '{"n":0.10,"list":[4611686018427387904,null,"\\u0001"]}',
        )
    ]
    assert (summary.rows_in, summary.rows_out, summary.failed) == (5, 1, 4)


def test_a_retry_loads_what_is_left_exactly_once(mongo: Double, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE public.ds_rows (_id int, name text)")
    mongo.fill("t", [{"_id": n, "name": f"n{n}"} for n in range(200)])
    runs = runner(mongo, database_url)
    job = runs.job(nodes())
    job = replace(job, pipeline=replace(job.pipeline, execution_config={"batchSize": 20}))
    execution = Execution(prepare(job), runs.recorder)
    source = execution.prepared.sources["src"]
    assert isinstance(source, MongoSource)
    source._pauses = ()
    mongo.steer("fail", name="getMore", after=2, code=189, times=1000)
    with pytest.raises((SourceError, RunFailed)):
        run_in_threads(execution)
    first = rows(database_url)
    assert 0 < first[0] < 200

    mongo.steer("clear")
    continues = Continuation(root_run_id=job.run_id, earlier_plan=stored_plan(execution.prepared))
    run_in_threads(Execution(prepare(replace(job, continues=continues)), runs.recorder))
    assert rows(database_url) == (200, 200)


def rows(url: str) -> tuple[int, int]:
    """How many there are, and how many different ones."""
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT _id) FROM public.ds_rows").fetchone()
    assert found is not None
    return found[0], found[1]
