"""Obstacles to merging by key are reported when a pipeline is saved, as far as they are known then."""

from __future__ import annotations

from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from headrace.flows.compile import TargetColumn
from headrace.flows.validation.check import check_types
from headrace.ir import parse_ir
from headrace.ir.schema import Field
from tests.flows.pipelines import document, logical

FIELDS = [
    {"name": "op", "dataType": "text"},
    {"name": "id", "dataType": "bigint"},
    {"name": "name", "dataType": "text"},
]
EVENTS = (Field("op", "text"), Field("before", "text"), Field("after", "text"))
TABLE = [TargetColumn(Field("id", "bigint")), TargetColumn(Field("name", "text")), TargetColumn(Field("at", "date"))]


def saved(fields: list[dict[str, str]], **target: Any) -> list[tuple[str, str, str]]:
    raw = document()
    raw["nodes"][0] |= {"fields": fields, "config": {"path": "a.csv"}}
    raw["nodes"][-1].update(target)
    parsed = parse_ir(raw)
    assert parsed.ir is not None, parsed.problems
    return [(problem.path, problem.code, problem.hint) for problem in check_types(parsed.ir)]


@pytest.mark.parametrize("mode", ["upsert", "scd2", "cdc_mirror"])
def test_a_key_is_needed_and_must_be_in_the_data(mode: str) -> None:
    missing = saved(FIELDS, loadMode=mode)
    assert missing[0][:2] == ("nodes[1].upsertKey", "missing_field")
    assert saved(FIELDS, loadMode=mode, upsertKey="nam") == [
        ("nodes[1].upsertKey", "unknown_column", "did you mean 'name'?")
    ]
    assert saved(FIELDS, loadMode=mode, upsertKey=["id"]) == []
    assert saved(FIELDS, loadMode=mode, upsertKey="key", mapping={"key": "id"}) == []


def test_events_have_an_operation() -> None:
    assert saved(FIELDS[1:], loadMode="cdc_mirror", upsertKey="id") == [
        ("nodes[1].loadMode", "no_operation", "read change events, or use upsert")
    ]


def test_a_key_must_be_in_the_table_and_leave_something_to_update() -> None:
    def reported(**target: Any) -> list[tuple[str, str]]:
        return [(each.path, each.code) for each in logical(loadMode="upsert", table=TABLE, **target).problems]

    assert reported(upsertKey=["price"]) == [("nodes[1].upsertKey", "unknown_column")]
    assert reported(upsertKey=["id", "name"]) == [("nodes[1].upsertKey", "nothing_to_update")]
    assert reported(upsertKey=["id"]) == []


def test_an_envelope_is_read_into_the_tables_columns_or_those_of_the_mapping(snapshot: SnapshotAssertion) -> None:
    for mapping in ({}, {"id": "nr", "name": "name"}):
        plan = logical(loadMode="cdc_mirror", upsertKey="id", schema=EVENTS, table=TABLE, mapping=mapping)
        assert plan.problems == ()
        assert ([step.label for step in plan.nodes["tgt"].steps], plan.nodes["tgt"].written) == snapshot
