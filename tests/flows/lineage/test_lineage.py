"""From which source columns each column of a target comes, per family of ops and through a graph of nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from headrace.flows.compile import LogicalPlan, ReferenceTable, TargetColumn, logical_plan
from headrace.flows.compile.ops import COMPILERS
from headrace.flows.compile.step import Step
from headrace.flows.lineage.declared import declared_lineage
from headrace.flows.lineage.targets import Input, TargetLineage, lineage_of
from headrace.ir import parse_ir
from headrace.ir.ops import Trim
from headrace.ir.schema import Field
from tests.flows.compile.graphs import CUSTOMERS, ORDERS, branch, document, join, source, target, transform

Said = dict[str, set[str]]


def unread(columns: Sequence[str], keys: int) -> pl.DataFrame:
    raise AssertionError("lineage reads no rows")


COUNTRIES = ReferenceTable("public.ds_countries", (Field("code", "text"), Field("country", "text")), unread)
TABLES = {COUNTRIES.name: COUNTRIES}
WHATEVER = [
    TargetColumn(Field(name, "text"))
    for name in ("id", "customer", "amount", "note", "name", "made", "other", "n", "total", "value", "min", "field")
]


def compiled(*nodes: dict[str, Any], table: Sequence[TargetColumn] = WHATEVER) -> LogicalPlan:
    parsed = parse_ir(document(*nodes))
    assert parsed.ir is not None, parsed.problems
    sources = {node.id: node.declared for node in parsed.ir.nodes if node.kind == "source"}
    targets = {node.id: table for node in parsed.ir.nodes if node.kind == "target"}
    plan = logical_plan(parsed.ir, sources, targets, tables=TABLES)
    assert not plan.problems, plan.problems
    return plan


def reported(target: TargetLineage) -> Said:
    """`{column: {"src.amount transformation masking"}}`; under `*` what decides about rows."""
    found = {column.name: {text for each in column.inputs for text in texts(each)} for column in target.columns}
    return found | {"*": {f"{where(row.root)} {row.subtype}" for row in target.rows}}


def texts(each: Input) -> list[str]:
    return [f"{where(each.root)} {use.subtype}{' masking' * use.masking}" for use in each.uses]


def where(root: Any) -> str:
    return f"{root.node or root.table}.{root.column}"


def after(*ops: dict[str, Any], **changes: Any) -> Said:
    """The lineage of a target after some ops over ORDERS, without unchanged columns."""
    plan = compiled(source("src", ORDERS), transform("x", "src", *ops), target("t", "x") | changes)
    [found] = map(reported, lineage_of(plan))
    plain = {name: {f"src.{name} identity"} for name in ORDERS}
    return {name: said for name, said in found.items() if said != plain.get(name)}


NOTHING: set[str] = set()
NUMBERS = {name: {f"src.{name} transformation"} for name in ("id", "customer", "amount")}
"""They are loaded into a table of texts."""
EVERY = {f"src.{column} transformation" for column in ORDERS}


@pytest.mark.parametrize(
    ("ops", "expected"),
    [
        ([{"type": "trim", "fields": ["note"]}], {"note": {"src.note transformation"}}),
        ([{"type": "rename", "from": "note", "to": "made"}], {"made": {"src.note identity"}}),
        ([{"type": "add_field", "field": "made", "value": "x"}], {"made": NOTHING}),
        (
            [{"type": "expression", "field": "made", "expression": "case when id > 1 then note else 'x' end"}],
            {"made": {"src.id transformation", "src.note transformation"}},
        ),
        (
            [
                {"type": "rename", "from": "note", "to": "name"},
                {"type": "expression", "field": "made", "expression": "name"},
            ],
            {"name": {"src.note identity"}, "made": {"src.note identity"}},
        ),
        (
            [{"type": "merge", "fields": ["note", "id"], "to": "made"}],
            {"made": {"src.note transformation", "src.id transformation"}},
        ),
        (
            [{"type": "split", "field": "note", "separator": "-", "into": ["made", "other"]}],
            {"made": {"src.note transformation"}, "other": {"src.note transformation"}},
        ),
        (
            [{"type": "fill_null", "fields": ["note"], "from": "made"}],
            {"note": {"src.note transformation", "src.id transformation"}, "made": {"src.id transformation"}},
        ),
        ([{"type": "hash", "fields": ["note"]}], {"note": {"src.note transformation masking"}}),
        (
            [{"type": "hash", "fields": ["note", "id"], "to": "made"}],
            {"made": {"src.note transformation masking", "src.id transformation masking"}},
        ),
        ([{"type": "mask_pii", "field": "note", "strategy": "null"}], {"note": {"src.note transformation masking"}}),
        (
            [{"type": "filter", "expression": "amount > 0 and note <> ''"}],
            {"*": {"src.amount filter", "src.note filter"}},
        ),
        (
            [{"type": "deduplicate", "keys": ["id"], "orderBy": ["amount"]}],
            {"*": {"src.id window", "src.amount window"}},
        ),
        ([{"type": "sort", "by": ["amount"]}], {"*": {"src.amount sort"}}),
        (
            [
                {
                    "type": "explode",
                    "field": "note",
                    "separator": ",",
                    "to": "made",
                    "positionTo": "n",
                    "keepEmpty": False,
                }
            ],
            {"made": {"src.note transformation"}, "n": {"src.note transformation"}, "*": {"src.note filter"}},
        ),
        (
            [{"type": "unpivot", "fields": ["note"], "nameTo": "name", "valueTo": "value"}],
            {"name": NOTHING, "value": {"src.note identity"}},
        ),
        (
            [
                {
                    "type": "lookup_join",
                    "table": "ds_countries",
                    "on": [{"field": "note", "key": "code"}],
                    "select": [{"column": "country", "as": "made"}],
                }
            ],
            {"made": {"public.ds_countries.country identity", "src.note join", "public.ds_countries.code join"}},
        ),
        (
            [
                {
                    "type": "lookup_join",
                    "table": "ds_countries",
                    "on": [{"field": "note", "key": "code"}],
                    "onMiss": "quarantine",
                }
            ],
            {"*": {"src.note filter", "public.ds_countries.code filter"}},
        ),
    ],
    ids=lambda value: "-".join(op["type"] for op in value) if isinstance(value, list) else "",
)
def test_what_an_op_makes_of_which_columns(ops: list[dict[str, Any]], expected: Said) -> None:
    if ops[0]["type"] == "fill_null":
        ops = [{"type": "expression", "field": "made", "expression": "cast(id as varchar)"}, *ops]
    found = after(*ops)
    assert found == NUMBERS | {"*": NOTHING} | expected


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        (
            {"type": "aggregate", "groupBy": ["note"], "aggregations": [
                {"fn": "sum", "field": "amount", "as": "total"}, {"fn": "count", "as": "n"}]},
            {"total": {"src.amount aggregation"}, "n": NOTHING, "*": {"src.note group_by"}},
        ),
        (
            {"type": "pivot", "groupBy": ["note"], "on": "customer", "values": [{"value": "1", "as": "made"}],
             "field": "amount", "fn": "sum"},
            {"made": {"src.amount aggregation", "src.customer conditional"}, "*": {"src.note group_by"}},
        ),
        (
            {"type": "summarize", "groupBy": ["note"], "fields": ["amount", "id"], "stats": ["min"]},
            {"field": NOTHING, "min": {"src.amount aggregation", "src.id aggregation"}, "*": {"src.note group_by"}},
        ),
        (
            {"type": "sql", "query": "SELECT note, sum(amount) AS total FROM input GROUP BY note"},
            {"note": EVERY, "total": EVERY, "*": NOTHING},
        ),
    ],
    ids=["aggregate", "pivot", "summarize", "sql"],
)  # fmt: skip
def test_what_groups_amount_to(op: dict[str, Any], expected: Said) -> None:
    assert after(op) == expected


def test_the_steps_of_a_column_are_those_that_changed_it_and_stronger_uses_prevail() -> None:
    ops: list[dict[str, Any]] = [
        {"type": "drop", "fields": ["customer"]},
        {"type": "expression", "field": "amount", "expression": "amount * 2"},
        {"type": "aggregate", "groupBy": ["note"], "aggregations": [{"fn": "max", "field": "amount", "as": "n"}]},
        {"type": "rename", "from": "n", "to": "total"},
    ]
    plan = compiled(source("src", ORDERS), transform("x", "src", *ops), target("t", "x"))
    [found] = lineage_of(plan)
    total = next(column for column in found.columns if column.name == "total")
    assert reported(found)["total"] == {"src.amount aggregation"}
    assert [(step.node, step.path) for step in total.steps] == [
        *(("x", f"nodes[1].ops[{position}]") for position in (1, 2, 3)),
        ("t", "nodes[2]"),
    ]


def test_a_graph_with_a_join_a_branch_and_an_aggregate() -> None:
    count = {"type": "aggregate", "groupBy": ["name"], "aggregations": [{"fn": "sum", "field": "amount", "as": "n"}]}
    rules = [
        {"id": "r1", "field": "id", "rule": "gt:0"},
        {"id": "r2", "field": "amount", "rule": "not_null", "onFail": "warn"},
        {"id": "r3", "field": "note", "rule": "exists:ds_countries.code", "onFail": "skip"},
    ]
    plan = compiled(
        source("orders", ORDERS),
        source("customers", CUSTOMERS),
        {"id": "ok", "kind": "validate", "input": "orders", "rowLevel": rules},
        join("both", "ok", "customers", "full"),
        branch("by", "both", big="amount > 100", noted="note_right <> ''"),
        target("b", "by.big") | {"mapping": {"other": "note_right"}},
        transform("counts", "by.noted", count),
        target("c", "counts"),
    )
    big, counted = ({**reported(found)} for found in lineage_of(plan))
    checked = {"orders.id filter", "orders.note filter", "public.ds_countries.code filter"}
    joined = checked | {"orders.customer join", "customers.nr join"}
    assert big == {
        "id": {"orders.id transformation"},
        "customer": {"orders.customer transformation", "customers.nr transformation"},
        "amount": {"orders.amount transformation"},
        "note": {"orders.note identity"},
        "name": {"customers.name identity"},
        "other": {"customers.note identity"},
        "*": joined | {"orders.amount filter"},
    }
    assert counted == {
        "name": {"customers.name identity"},
        "n": {"orders.amount aggregation"},
        "*": joined | {"orders.amount filter", "customers.note filter", "customers.name group_by"},
    }


def test_what_a_provider_answers_is_made_of_what_it_is_asked() -> None:
    ask = {
        "id": "ask",
        "kind": "enrich",
        "input": "src",
        "provider": "llm_tag",
        "fields": ["note"],
        "outputField": "made",
    }
    [found] = map(reported, lineage_of(compiled(source("src", ORDERS), ask, target("t", "ask"))))
    assert found["made"] == {"src.note transformation"}


def test_change_events_are_reported_by_what_they_hold() -> None:
    event = {"op": "text", "before": "text", "after": "text"}
    found = compiled(source("src", event), target("t", "src") | {"loadMode": "cdc_mirror", "upsertKey": "id"})
    [told_of] = map(reported, lineage_of(found))
    images = {"src.before transformation", "src.after transformation", "src.op conditional"}
    assert told_of["note"] == images
    assert told_of["*"] == {"src.op conditional"}


def test_rows_that_a_schema_contract_skips_are_decided_by_the_columns_it_lacks() -> None:
    table = [TargetColumn(Field("note", "text"))]
    plan = compiled(source("src", ORDERS), target("t", "src") | {"schemaContract": "discard_row"}, table=table)
    [found] = map(reported, lineage_of(plan))
    assert found == {"note": {"src.note identity"}, "*": {f"src.{name} filter" for name in ORDERS if name != "note"}}


def test_what_an_op_does_not_explain_may_come_from_every_column(monkeypatch: pytest.MonkeyPatch) -> None:
    trim = COMPILERS[Trim]

    def silent(op: Any, scope: Any) -> tuple[Step, ...]:
        (step,) = trim(op, scope)
        return (replace(step, columns=(), reshape=lambda frame: frame.with_columns(made=pl.col("note"))),)

    monkeypatch.setitem(COMPILERS, Trim, silent)
    found = after({"type": "trim", "fields": ["note"]}, {"type": "expression", "field": "other", "expression": "made"})
    assert found == dict.fromkeys([*ORDERS, "made", "other"], EVERY) | {"*": NOTHING}


def declared(tables: Mapping[str, ReferenceTable], *nodes: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    parsed = parse_ir(document(*nodes))
    assert parsed.ir is not None, parsed.problems
    found = declared_lineage(parsed.ir, tables)
    return [target.node.id for target in found.targets], dict(found.unknown)


def test_what_is_not_known_before_a_run_is_named_with_the_reason() -> None:
    table = ReferenceTable("public.ds_a", tuple(each.field for each in WHATEVER), unread)
    inferred = source("files", ORDERS) | {"fields": None}
    nodes = [
        source("src", ORDERS),
        inferred,
        transform("bad", "src", {"type": "trim", "fields": ["id"]}),
        target("a", "src"),
        target("b", "src"),
        target("c", "files") | {"schema": "public.ds_a"},
        target("d", "bad") | {"schema": "public.ds_a"},
    ]
    assert declared({"public.ds_a": table}, *nodes) == (
        ["a"],
        {
            "files": "The source declares no 'fields': its columns are known once a run or plan has inspected it",
            "bad": "'id' is Int64, not text",
            "b": "'public.ds_b' is not a table of one of your schemas",
            "c": "The columns of 'files', which it reads, are not known",
            "d": "The columns of 'bad', which it reads, are not known",
        },
    )


def test_a_long_chain_is_followed_without_recursion() -> None:
    ops = [{"type": "expression", "field": "amount", "expression": "amount + 1"}] * 1500
    plan = compiled(source("src", ORDERS), transform("x", "src", *ops), target("t", "x"))
    [found] = lineage_of(plan)
    assert reported(found)["amount"] == {"src.amount transformation"}
