"""Private columns: those an op hides, under every name upstream and downstream of it."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from headrace.connectors.source import REJECT_SCHEMA
from headrace.flows.compile import TargetColumn
from headrace.flows.compile.masking import MASK, ColumnOrigins, masked_cells, masked_rows
from headrace.flows.compile.step import Step
from headrace.ir.schema import Field
from tests.flows.pipelines import logical

HIDE = {"type": "mask_pii", "field": "name", "strategy": "redact"}
RENAME = {"type": "rename", "from": "name", "to": "person"}


def private(ops: list[dict[str, Any]], **target: Any) -> dict[str, set[str]]:
    plan = logical(ops, [{"field": "id", "rule": "not_null"}], **target)
    assert not plan.problems, plan.problems
    return {node: set(compiled.private) for node, compiled in plan.nodes.items()}


@pytest.mark.parametrize(
    ("ops", "source", "after"),
    [
        ([HIDE], {"name"}, {"name"}),
        ([RENAME, {**HIDE, "field": "person"}], {"name"}, {"person"}),
        ([HIDE, RENAME], {"name"}, {"person"}),
        ([{"type": "hash", "fields": ["id", "name"], "to": "key"}], {"id", "name"}, {"id", "name", "key"}),
        # A copy made before the op is as private as what it was made of.
        ([{"type": "expression", "field": "copy", "expression": "upper(name)"}, HIDE], {"name"}, {"name", "copy"}),
        # What is hidden may itself be computed from several columns.
        (
            [
                {"type": "expression", "field": "who", "expression": "name || amount"},
                {"type": "mask_pii", "field": "who", "strategy": "last4"},
            ],
            {"name", "amount"},
            {"name", "amount", "who"},
        ),
        # The name is used again for something else.
        (
            [HIDE, {"type": "drop", "fields": ["name"]}, {"type": "add_field", "field": "name", "value": "x"}],
            {"name"},
            set(),
        ),
        ([{"type": "add_field", "field": "pin", "value": "1"}, {**HIDE, "field": "pin"}], set(), {"pin"}),
        ([{"type": "cast", "field": "amount", "to": "integer"}], set(), set()),
    ],
)
def test_private_columns_are_traced_to_their_source(
    ops: list[dict[str, Any]], source: set[str], after: set[str]
) -> None:
    found = private(ops)
    assert (found["src"], found["clean"], found["check"]) == (source, after, after)


def test_a_target_s_columns_are_private_under_its_own_names() -> None:
    table = [TargetColumn(Field("id", "integer")), TargetColumn(Field("who", "text"))]
    assert private([HIDE], table=table, mapping={"who": "name"})["tgt"] == {"who"}


def test_a_step_that_does_not_say_where_its_columns_come_from_makes_all_of_them_private() -> None:
    hidden, plain = frozenset({("src", "a")}), frozenset({("src", "b")})
    mixed = ColumnOrigins({"a": hidden, "b": plain}).after(Step("n", "p", "pivot", reshape=lambda frame: frame))
    assert mixed.of("b") == mixed.of("new") == hidden | plain


def test_checks_before_and_after_the_op_show_no_value() -> None:
    rules = [{"field": "name", "rule": "min_length:9"}, {"field": "amount", "rule": "min_length:9"}]
    ops = [{"type": "cast", "field": "name", "to": "integer"}, HIDE]
    plan = logical(ops, rules)
    row = pl.DataFrame({"name": ["Ann"], "amount": ["short"]})
    reported = {
        (node, check.column): row.select(check.value).item()
        for node in ("clean", "check")
        for step in plan.nodes[node].steps
        for check in step.checks
    }
    assert reported == {("clean", "name"): MASK, ("check", "name"): MASK, ("check", "amount"): "short"}


def test_without_such_an_op_nothing_is_private() -> None:
    plan = logical([{"type": "cast", "field": "name", "to": "integer"}])
    assert not any(step.private for node in plan.nodes.values() for step in node.steps)
    row = pl.DataFrame({"name": ["Ann"]})
    assert row.select(plan.nodes["clean"].steps[0].checks[0].value).item() == "Ann"


def test_cells_keep_their_place_and_reason_but_not_their_value() -> None:
    cells = pl.DataFrame(
        [
            (1, "name", "Ann", "Expected integer", "type"),
            (2, "name", None, "Must not be null", "named"),
            (3, None, "3,Ann,whole line", "Expected 4 fields, found 3", "ragged"),
            (4, "amount", "x", "Expected integer", "type"),
            (5, None, None, "no Ann here", "P0001"),
        ],
        schema=REJECT_SCHEMA,
        orient="row",
    )
    assert masked_cells(cells, frozenset({"name"})).rows() == [
        (1, "name", MASK, "Expected integer", "type"),
        (2, "name", None, "Must not be null", "named"),
        (3, None, MASK, "Expected 4 fields, found 3", "ragged"),
        (4, "amount", "x", "Expected integer", "type"),
        (5, None, None, "Refused by a trigger", "P0001"),
    ]
    assert masked_cells(cells, frozenset()).equals(cells)


def test_rows_keep_their_nulls() -> None:
    rows = masked_rows(pl.DataFrame({"a": [1, None], "b": [1, 2]}), frozenset({"a", "z"}))
    assert rows.rows() == [(MASK, 1), (None, 2)]
