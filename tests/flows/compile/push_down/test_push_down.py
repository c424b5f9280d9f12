"""Push-down: sources and stages provide only the needed columns, and rows that a filter may keep."""

from __future__ import annotations

from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from headrace.connectors.source import Discovery, Partition
from headrace.flows.compile import PhysicalPlan, Stage, TargetColumn, logical_plan, physical_plan
from headrace.ir import parse_ir
from headrace.ir.schema import Field
from tests.flows.compile.graphs import COUNT, document, join, source, target, transform

ORDERS = {"id": "bigint", "customer": "integer", "amount": "decimal", "day": "date", "note": "text", "more": "text"}
CUSTOMERS = {"nr": "bigint", "name": "text", "note": "text", "street": "text"}
TABLE = [TargetColumn(Field(name, "text")) for name in ("id", "name", "n")]
SRC = source("src", ORDERS)


def plan(*nodes: dict[str, Any], sure: bool = True, table: list[TargetColumn] = TABLE) -> PhysicalPlan:
    """Every column of the sources is one of which all values can be read, or only those of text are."""
    parsed = parse_ir(document(*nodes))
    assert parsed.ir is not None, parsed.problems
    sources = {node.id: node.declared for node in parsed.ir.nodes if node.kind == "source"}
    logical = logical_plan(parsed.ir, sources, {node.id: table for node in parsed.ir.nodes if node.kind == "target"})
    assert not logical.problems, logical.problems
    found = {
        node: Discovery(
            schema,
            [Partition(0, 1, 100, {"part": 0})],
            100,
            "f",
            frozenset(field.name for field in schema if sure or field.data_type == "text"),
        )
        for node, schema in sources.items()
    }
    return physical_plan(parsed.ir, logical, found)


def unread(stage: Stage) -> list[str]:
    return [*stage.unread]


def made(*ops: dict[str, Any]) -> list[dict[str, Any]]:
    return [transform("x", "src", *ops), target("t", "x")]


def test_columns_and_a_filter_are_pushed_down_through_a_graph(snapshot: SnapshotAssertion) -> None:
    found = plan(
        SRC,
        source("customers", CUSTOMERS),
        transform("clean", "src", {"type": "filter", "expression": "amount > 5 AND day < DATE '2024-02-01'"}),
        join("both", "clean", "customers", "left"),
        target("t", "both"),
        transform("counts", "both", {"type": "filter", "expression": "note_right <> ''"}, COUNT),
        target("c", "counts"),
    )
    assert found.describe() == snapshot


def test_what_a_row_may_be_rejected_for_is_read_whoever_needs_it() -> None:
    (stage,) = plan(SRC, target("t", "src"), sure=False).stages
    assert unread(stage) == ["note", "more"]


def test_a_source_is_asked_for_one_column_at_least() -> None:
    op = {"type": "add_field", "field": "n", "value": 1}
    nodes = [SRC, transform("x", "src", op), target("t", "x", mapping={"n": "n"})]
    (stage,) = plan(*nodes, table=[TargetColumn(Field("n", "bigint"))]).stages
    assert stage.wanted.columns == {"id"}


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([target("t", "src")], ["customer", "amount", "day", "note", "more"]),
        ([*made({"type": "drop", "fields": ["more"]})], ["customer", "amount", "day", "note", "more"]),
        ([*made({"type": "rename", "from": "more", "to": "name"})], ["customer", "amount", "day", "note"]),
        # What is computed can fail, whether or not it is loaded.
        (
            [*made({"type": "expression", "field": "y", "expression": "cast(more as int)"})],
            ["customer", "amount", "day", "note"],
        ),
        ([*made({"type": "hash", "fields": ["note", "more"], "to": "h"})], ["customer", "amount", "day"]),
        ([target("t", "src", schemaContract="discard_row")], []),
        ([target("t", "src"), target("u", "src", mapping={"name": "note"})], ["customer", "amount", "day", "more"]),
    ],
)
def test_a_column_is_needed_where_anything_reads_it(nodes: list[dict[str, Any]], expected: list[str]) -> None:
    (stage,) = plan(SRC, *nodes).stages
    assert unread(stage) == expected


def rules(quarantine: str | None) -> dict[str, Any]:
    row_level = [{"id": "r", "field": "note", "rule": "not_empty"}]
    kept = {"quarantine": {"table": quarantine}} if quarantine else {}
    return {"id": "check", "kind": "validate", "input": "src", "rowLevel": row_level, **kept}


def test_rows_that_are_quarantined_as_they_came_need_every_column() -> None:
    assert unread(plan(SRC, rules(None), target("t", "check")).stages[0]) == ["customer", "amount", "day", "more"]
    assert unread(plan(SRC, rules("dlq.kept"), target("t", "check")).stages[0]) == []


def test_what_dataset_rules_measure_is_read() -> None:
    evaluated = {"nullRate": {"field": "day", "max": 0.5}, "uniqueness": {"fields": ["note"], "min": 1}}
    check = {"id": "check", "kind": "validate", "input": "src", "datasetLevel": evaluated}
    reading, unique = plan(SRC, check, target("t", "check")).stages
    assert unread(reading) == ["customer", "amount", "more"]
    assert [*reading.sinks[-1].columns] == ["note"]  # type: ignore[union-attr]
    assert unread(unique) == []


def test_a_quarantine_after_a_join_needs_what_the_join_gives() -> None:
    check = rules("dlq.kept") | {"input": "both"}
    nodes = SRC, source("customers", CUSTOMERS), join("both", "src", "customers", "semi"), check, target("t", "check")
    orders, customers, both = plan(*nodes).stages
    assert unread(orders) == unread(both) == []
    assert unread(customers) == ["name", "note", "street"]


@pytest.mark.parametrize(
    ("op", "sent"),
    [
        ({"type": "deduplicate", "keys": ["customer"], "orderBy": ["day"]}, ["id", "customer", "day"]),
        ({"type": "sort", "by": ["amount", "note"]}, ["id", "amount", "note"]),
        (
            {"type": "sql", "query": "SELECT id, more AS name, day FROM input WHERE note <> ''"},
            ["id", "day", "note", "more"],
        ),
        ({"type": "sql", "query": "SELECT id, more AS name, day FROM input ORDER BY id"}, ["id", "day", "more"]),
        (
            {
                "type": "aggregate",
                "groupBy": ["id", "note"],
                "aggregations": [{"fn": "max", "field": "day", "as": "n"}],
            },
            ["id", "day", "note"],
        ),
        ({"type": "unpivot", "fields": ["note", "more"], "nameTo": "name", "valueTo": "n"}, None),
    ],
)
def test_no_more_columns_are_sent_than_are_used(op: dict[str, Any], sent: list[str] | None) -> None:
    reading, *exchange = plan(SRC, *made(op)).stages
    read = [name for name in ORDERS if name not in reading.unread]
    if sent is None:
        assert read == ["id", "note", "more"]
        return
    assert [*reading.sinks[0].columns] == read == sent
    assert [*exchange[0].root.shuffle.sides[0].schema] == [*sent, "__row"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("ops", "where"),
    [
        (["amount > 5"], ["amount > 5"]),
        (["5 < id AND note <> 'x' AND day = DATE '2024-01-01'"], ["id > 5", "day = '2024-01-01'"]),
        ([{"type": "rename", "from": "id", "to": "number"}, "number BETWEEN 1 AND 9"], ["id >= 1", "id <= 9"]),
        (["id > 1", "id > 5"], ["id > 1"]),
        (["id > 1 AND customer IN (1, 2)"], ["id > 1"]),
        # Something could happen to a row before, or in the filter.
        ([{"type": "cast", "field": "note", "to": "integer"}, "id > 5"], []),
        ([{"type": "expression", "field": "x", "expression": "id + 1"}, "id > 5"], []),
        (["id > 5 AND cast(note as int) > 3"], []),
        (["id > 5 AND 10 / id > 3"], []),
        # No value can be compared with the column's as it is.
        (["id > 5.5"], []),
        (["id > 5 OR id < 3"], []),
    ],
)
def test_a_source_is_reported_what_the_first_filter_wants(ops: list[Any], where: list[str]) -> None:
    listed = [{"type": "filter", "expression": op} if isinstance(op, str) else op for op in ops]
    rename = {"type": "rename", "from": "number", "to": "id"}
    nodes = [SRC, transform("x", "src", *listed, *([rename] if "number" in str(listed) else [])), target("t", "x")]
    (stage,) = plan(*nodes).stages
    assert [str(bound) for bound in stage.bounds] == where
    assert stage.bounded_by == ("x" if where else "")


def test_a_filter_after_a_fork_binds_nobody() -> None:
    nodes = [
        SRC,
        transform("x", "src", {"type": "filter", "expression": "id > 5"}),
        target("t", "x"),
        target("u", "src"),
    ]
    assert plan(*nodes).stages[0].bounds == ()
