"""Compiled enrich nodes: a separate query, typed, and without access to private columns."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.flows.compile import LogicalPlan, logical_plan
from headrace.flows.compile.stages.segment import fuse
from headrace.flows.enrich import ProviderAccess
from headrace.flows.validation.check import check_types
from headrace.ir import parse_ir
from headrace.ir.schema import Field
from tests.ir.enriching import URL, document

SCHEMA = (Field("a", "text"), Field("n", "decimal", 10, 2), Field("c", "text"))
HTTP = {"url": f"{URL}?q={{a}}", "dataType": "bigint"}


def planned(raw: dict[str, Any], **given: Any) -> LogicalPlan:
    ir = parse_ir(raw).ir
    assert ir is not None
    return logical_plan(ir, {"src": SCHEMA}, {}, **given)


def after(*ops: dict[str, Any], config: Any = HTTP, **node: Any) -> dict[str, Any]:
    raw = document("http", config, **node)
    raw["nodes"].insert(2, {"id": "after", "kind": "transform", "input": "ask", "ops": list(ops)})
    raw["nodes"][-1]["input"] = "after"
    return raw


def test_the_question_is_a_query_of_its_own() -> None:
    plan = planned(after({"type": "trim", "fields": ["c"]}), secrets={}, providers=ProviderAccess())
    steps = (*plan.nodes["ask"].steps, *plan.nodes["after"].steps)
    assert [[step.label for step in segment.steps] for segment in fuse(steps)] == [
        ["ask for b = http of a"],
        ["b = http of a", "trim c"],
    ]


@pytest.mark.parametrize("providers", [None, ProviderAccess()])
def test_its_column_has_the_type_of_the_answers_asked_or_not(providers: ProviderAccess | None) -> None:
    add = {"type": "expression", "field": "d", "expression": "b + 1"}
    plan = planned(after(add), secrets={}, providers=providers)
    assert (plan.problems, str(plan.nodes["after"].schema["d"])) == ((), "Int64")
    assert plan.nodes["ask"].notes == (() if providers else ("ask: providers are not asked in previews, 'b' is null",))


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        ({"fields": ["a", "x"]}, ("nodes[1].fields[1]", "unknown_column")),
        ({"outputField": "n"}, ("nodes[1].outputField", "column_exists")),
        ({"outputField": "a"}, None),
    ],
)
def test_columns_are_checked(node: dict[str, Any], problem: tuple[str, str] | None) -> None:
    found = planned(document("http", HTTP, **node)).problems
    assert [(each.path, each.code) for each in found] == ([problem] if problem else [])


def test_a_document_is_checked_when_it_is_saved() -> None:
    raw = after({"type": "drop", "fields": ["bb"]})
    raw["nodes"][0]["fields"] = [{"name": "a", "dataType": "text"}]
    ir = parse_ir(raw).ir
    assert ir is not None
    assert [(each.path, each.hint) for each in check_types(ir)] == [("nodes[2].ops[0].fields[0]", "did you mean 'b'?")]


@pytest.mark.parametrize("providers", [None, ProviderAccess()])
def test_answers_about_private_values_are_private(providers: ProviderAccess | None) -> None:
    hide = {"type": "mask_pii", "field": "a", "strategy": "redact"}
    plan = planned(after(hide), secrets={}, providers=providers)
    assert plan.nodes["ask"].private == {"a", "b"}
