"""A document parses to typed nodes, or every problem is reported at its place with a hint."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.ir import parse_ir
from headrace.ir.nodes import SourceNode, TargetNode, TransformNode, ValidateNode

DOCUMENT: dict[str, Any] = {
    "kind": "pipeline",
    "version": "1.0",
    "id": "daily-orders",
    "metadata": {"name": "Daily orders", "owner": "data-team", "tags": ["batch"]},
    "schedule": {"kind": "cron", "expression": "0 2 * * *", "timezone": "America/Los_Angeles"},
    "nodes": [
        {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": "orders/", "format": "csv"}},
        {
            "id": "clean",
            "kind": "transform",
            "input": "src",
            "ops": [{"type": "rename", "from": "amt", "to": "amount"}],
        },
        {
            "id": "check",
            "kind": "validate",
            "input": "clean",
            "rowLevel": [{"id": "amt-positive", "field": "amount", "rule": "gt:0", "onFail": "quarantine"}],
        },
        {"id": "tgt", "kind": "target", "input": "check", "schema": "public.ds_orders", "loadMode": "append"},
    ],
    "errorHandling": {"dlq": {"enabled": False}, "retry": {"maxAttempts": 3, "backoff": "exponential"}},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """The document with the value at a dotted path replaced."""
    document = copy.deepcopy(DOCUMENT)
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = document
    for step in steps:
        place = place[step]
    place[last] = value
    return document


def problems(document: object) -> list[tuple[str, str]]:
    return [(problem.path, problem.code) for problem in parse_ir(document).problems]


def test_the_documented_example_parses_to_typed_nodes() -> None:
    result = parse_ir(DOCUMENT)
    assert result.problems == []
    assert result.ir is not None
    assert [type(node) for node in result.ir.nodes] == [SourceNode, TransformNode, ValidateNode, TargetNode]
    assert result.ir.node("tgt").inputs == ("check",)


def test_a_parsed_document_dumps_to_one_that_parses_to_the_same() -> None:
    first = parse_ir(DOCUMENT).ir
    assert first is not None
    again = parse_ir(first.model_dump(mode="json", exclude_none=True)).ir
    assert again == first


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("kind", "pipelin", ("kind", "invalid_value")),
        ("version", "2.0", ("version", "invalid_value")),
        ("schedule.expression", "61 * * * *", ("schedule.expression", "invalid_cron")),
        ("schedule.timezone", "Mars/Base", ("schedule.timezone", "unknown_timezone")),
        ("schedule.catchup", "some", ("schedule.catchup", "invalid_value")),
        ("schedule", {"kind": "interval", "minutes": 0}, ("schedule.minutes", "greater_than_equal")),
        ("schedule", {"kind": "rrule", "rrule": "FREQ=NEVER"}, ("schedule.rrule", "invalid_rrule")),
        ("nodes.0.kind", "sorce", ("nodes[0].kind", "unknown_kind")),
        ("nodes.1.ops.0.type", "renam", ("nodes[1].ops[0].type", "unknown_op")),
        ("nodes.1.ops.0", {"type": "add_field", "field": "a"}, ("nodes[1].ops[0]", "value_or_expression")),
        ("nodes.1.ops", {}, ("nodes[1].ops", "tuple_type")),
        ("nodes.1.ops", "trim", ("nodes[1].ops", "tuple_type")),
        ("nodes.2.rowLevel.0.rule", "gtt:0", ("nodes[2].rowLevel[0].rule", "unknown_rule")),
        ("nodes.2.rowLevel.0.rule", "between:1", ("nodes[2].rowLevel[0].rule", "rule_arguments")),
        ("nodes.2.rowLevel.0.rule", "type:number", ("nodes[2].rowLevel[0].rule", "unknown_type")),
        ("nodes.2.rowLevel.0.onFail", "explode", ("nodes[2].rowLevel[0].onFail", "invalid_value")),
        ("nodes.2.quarantine", {"table": "public.ds_x"}, ("nodes[2].quarantine.table", "quarantine_schema")),
        ("nodes.3.schema", "ds_orders; drop table x", ("nodes[3].schema", "invalid_table")),
        ("nodes.3.loadmode", "append", ("nodes[3].loadmode", "unknown_field")),
        ("nodes.3.input", "chek", ("nodes[3].input", "unknown_input")),
        ("nodes.3.id", "src", ("nodes[3].id", "duplicate_id")),
        ("nodes.1.input", "clean", ("nodes[1].input", "cycle")),
        ("errorHandling.retry.maxAttempts", 0, ("errorHandling.retry.maxAttempts", "greater_than_equal")),
    ],
)
def test_a_fault_is_reported_at_its_place(path: str, value: Any, problem: tuple[str, str]) -> None:
    assert problem in problems(changed(path, value))


def test_what_is_expected_is_said_in_the_words_of_json() -> None:
    for path, value, said in (
        ("nodes.1.ops", "trim", "A list is expected here, not 'trim'"),
        ("metadata", ["x"], "An object is expected here, not ['x']"),
    ):
        assert said in [problem.message for problem in parse_ir(changed(path, value)).problems]


def test_one_column_may_stand_where_several_may() -> None:
    one, several = (
        parse_ir(changed("nodes.2.datasetLevel", {"uniqueness": {"fields": fields}})) for fields in ("id", ["id"])
    )
    assert one.ir is not None
    assert one.ir == several.ir


def test_a_cycle_over_several_nodes_is_reported() -> None:
    assert "cycle" in [code for _, code in problems(changed("nodes.1.input", "check"))]


def test_every_fault_is_reported_at_once_and_no_fault_twice() -> None:
    document = changed("nodes.2.rowLevel.0.rule", "gtt:0")
    document["nodes"][1]["ops"][0]["type"] = "renam"
    document["nodes"][3]["input"] = "chek"
    assert problems(document) == [
        ("nodes[1].ops[0].type", "unknown_op"),
        ("nodes[2].rowLevel[0].rule", "unknown_rule"),
        ("nodes[3].input", "unknown_input"),
        ("nodes[2]", "unused_node"),
    ]


@pytest.mark.parametrize(
    ("path", "value", "hint"),
    [
        ("nodes.2.rowLevel.0.rule", "gtt:0", "did you mean 'gt'?"),
        ("nodes.3.input", "chek", "did you mean 'check'?"),
        ("nodes.1.ops.0.type", "renam", "did you mean 'rename'?"),
        ("nodes.3.loadmode", "append", "did you mean 'loadMode'?"),
    ],
)
def test_a_misspelling_is_answered_with_the_nearest_word(path: str, value: str, hint: str) -> None:
    assert hint in [problem.hint for problem in parse_ir(changed(path, value)).problems]


def test_a_pipeline_needs_both_ends() -> None:
    only_source = {**DOCUMENT, "nodes": DOCUMENT["nodes"][:1]}
    assert ("nodes", "no_target") in problems(only_source)
    only_target = {**DOCUMENT, "nodes": DOCUMENT["nodes"][3:]}
    assert ("nodes", "no_source") in problems(only_target)


def test_a_long_list_of_nodes_is_read() -> None:
    nodes = [DOCUMENT["nodes"][0]]
    for number in range(998):
        before = "src" if number == 0 else f"t{number - 1}"
        op = {"type": "expression", "field": "x", "expression": "a + 1"}
        nodes.append({"id": f"t{number}", "kind": "transform", "input": before, "ops": [op]})
    nodes.append({"id": "tgt", "kind": "target", "input": "t997", "schema": "public.ds_orders"})
    assert parse_ir({**DOCUMENT, "nodes": nodes}).problems == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
PLACES = """nodes nodes.0 nodes.1.ops nodes.1.ops.0 nodes.1.ops.0.to nodes.2.rowLevel nodes.2.rowLevel.0.rule
    nodes.3.schema nodes.3.input nodes.3.id schedule schedule.expression metadata errorHandling"""
places = st.sampled_from(PLACES.split())


def test_texts_that_no_database_keeps_are_reported_each_at_its_place() -> None:
    document = changed("nodes.0.config.path", "a\u0000") | {"id": "\udfff", "\ud800": 1}
    found = parse_ir(document)
    assert found.ir is None
    assert {(problem.path, problem.code) for problem in found.problems} == {
        ("", "unstorable_text"),
        ("id", "unstorable_text"),
        ("nodes[0].config.path", "unstorable_text"),
    }
    assert all(problem.hint for problem in found.problems)


@given(json_values)
def test_any_json_gives_problems_never_an_exception(value: Any) -> None:
    result = parse_ir(value)
    assert result.ir is None
    assert result.problems


@given(places, json_values)
def test_any_json_anywhere_in_a_document_gives_a_result(place: str, value: Any) -> None:
    result = parse_ir(changed(place, value))
    assert (result.ir is None) == bool(result.problems)
    assert all(problem.message for problem in result.problems)
