"""`lookup_join` and `exists`: rows meet the rows of another table, in the key's own type."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from headrace.connectors.errors import TargetError
from tests.flows.compile.ops.cases import Op, frame, passed, planned, problems
from tests.flows.compile.ops.shelf import ROWS, UUID, Shelf, lookup


def test_columns_come_from_the_row_with_the_same_key() -> None:
    op = lookup(select=["name", {"column": "id", "as": "thing"}, {"column": "code", "as": "code"}])
    made, cells, _ = passed(planned(op, tables=Shelf().tables), frame(text=["ä", "a", "a", "b", "", None]))
    assert made.select("text", "name", "thing", "code").rows() == [
        ("ä", None, 20, "ä"),
        ("a", "Ann", 10, "a"),
        ("a", "Ann", 10, "a"),
        ("b", None, None, None),
        ("", None, None, None),
        (None, None, None, None),
    ]
    assert made.get_column("__row").to_list() == [1, 2, 3, 4, 5, 6]
    assert not [name for name in made.columns if name.startswith("__") and name != "__row"]
    assert not cells


def test_rows_without_a_match_are_skipped_or_reported() -> None:
    batch = frame(text=["a", "b", None])
    made, cells, counters = passed(planned(lookup(onMiss="drop"), tables=Shelf().tables), batch)
    assert (made.height, cells, counters["skipped"]) == (1, [], 2)
    made, cells, counters = passed(planned(lookup(onMiss="quarantine"), tables=Shelf().tables), batch)
    assert (made.height, counters["failed"]) == (1, 2)
    assert cells == [
        (2, "text", "b", "Not found in public.ds_things (code)", "lookup"),
        (3, "text", None, "Not found in public.ds_things (code)", "lookup"),
    ]


@pytest.mark.parametrize(
    ("field", "key", "given", "hits"),
    [
        ("text", "number", ["1", " 2 ", "1.0", "x"], [True, True, False, False]),
        ("id", "number", [1, 2, 2**40], [True, True, False]),
        ("price", "number", [1.0, 1.5, float("nan")], [True, False, False]),
        ("id", "code", [1, 2], [False, False]),
        ("text", "key", [UUID.upper(), UUID.replace("-", ""), "x"], [True, True, False]),
        ("text", "since", ["2024-02-29", "29.02.2024"], [True, False]),
        ("day", "since", [date(2024, 1, 1), date(2023, 1, 1)], [True, False]),
    ],
)
def test_a_value_is_compared_in_the_type_of_the_key(field: str, key: str, given: list[Any], hits: list[bool]) -> None:
    op = lookup(field, key, select=[{"column": key, "as": "found"}])
    made, _, _ = passed(planned(op, tables=Shelf().tables), frame(**{field: given}))
    assert made.get_column("found").is_not_null().to_list() == hits
    rule = {"field": field, "rule": f"exists:ds_things.{key}", "onFail": "warn"}
    plan = planned({"type": "trim", "fields": ["other"]}, tables=Shelf().tables, rules=[rule])
    _, cells, _ = passed(plan, frame(**{field: given}), "check")
    assert [cell[0] for cell in cells] == [number for number, hit in enumerate(hits, 1) if not hit]


def test_several_keys_must_match_together_and_each_is_reported() -> None:
    op = lookup(onMiss="quarantine", on=[{"field": "text", "key": "code"}, {"field": "id", "key": "number"}])
    _, cells, counters = passed(planned(op, tables=Shelf().tables), frame(text=["a", "a"], id=[1, 2]))
    assert [cell[:3] for cell in cells] == [(2, "text", "a"), (2, "id", "2")]
    assert counters["failed"] == 1


def test_a_key_that_is_hidden_later_is_not_shown() -> None:
    ops = lookup(onMiss="quarantine"), {"type": "hash", "fields": ["text"]}
    _, cells, _ = passed(planned(*ops, tables=Shelf().tables), frame(text=["ann@example.org"]))
    assert cells == [(1, "text", "***", "Not found in public.ds_things (code)", "lookup")]


def test_the_table_is_read_once_and_only_when_rows_come() -> None:
    shelf = Shelf()
    plan = planned(lookup(), tables=shelf.tables)
    assert shelf.reads == 0
    for _ in range(3):
        passed(plan, frame(text=["a"]))
    assert shelf.reads == 1


def test_a_key_that_several_rows_have_is_a_fault_and_not_a_choice() -> None:
    twice = Shelf([*ROWS, ("a", 3, None, None, "Bob", 30)])
    with pytest.raises(TargetError, match="by code: 1 of its values are there more than once") as raised:
        passed(planned(lookup(), tables=twice.tables), frame(text=["a"]))
    assert raised.value.code == "duplicate_key"


@pytest.mark.parametrize(
    ("op", "problem"),
    [
        (lookup(table="ds_thing"), ("ops[0].table", "unknown_table")),
        (lookup("txt"), ("ops[0].on[0].field", "unknown_column")),
        (lookup(key="cod"), ("ops[0].on[0].key", "unknown_column")),
        (lookup("day", "number"), ("ops[0].on[0].field", "impossible_cast")),
        (lookup(select=["nam"]), ("ops[0].select[0]", "unknown_column")),
        (lookup(select=["name", "id"]), ("ops[0].select[1]", "column_exists")),
    ],
)
def test_what_cannot_be_looked_up_is_reported_when_the_pipeline_is_saved(op: Op, problem: tuple[str, str]) -> None:
    assert problems(op, tables=Shelf().tables) == [problem]


@pytest.mark.parametrize(
    ("rule", "code"),
    [("exists:ds_thing.code", "unknown_table"), ("exists:ds_things.cod", "unknown_column")],
)
def test_a_rule_that_names_what_is_not_there_is_reported(rule: str, code: str) -> None:
    rules = [{"field": "text", "rule": rule}]
    plan = planned({"type": "trim", "fields": ["text"]}, tables=Shelf().tables, rules=rules)
    assert [(each.path, each.code) for each in plan.problems] == [("nodes[2].rowLevel[0].rule", code)]
    assert plan.problems[0].hint.startswith("did you mean")


def test_without_the_tables_a_lookup_and_what_is_after_it_is_not_evaluated() -> None:
    plan = planned(lookup("txt"), {"type": "drop", "fields": ["nonsense"]})
    assert not plan.problems
    assert "clean" not in plan.nodes
    rules = [{"field": "text", "rule": "exists:ds_things.code"}, {"field": "txt", "rule": "not_null"}]
    plan = planned({"type": "trim", "fields": ["text"]}, rules=rules)
    assert [each.path for each in plan.problems] == ["nodes[2].rowLevel[1].field"]
