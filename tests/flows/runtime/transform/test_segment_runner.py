"""Results of fused steps: values, rejects with reasons, counts; the same for any batches."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.connectors.source import ROW
from headrace.flows.runtime.transform.row_counts import RowCounts
from headrace.flows.runtime.transform.segment_runner import Rejects, run_segment
from tests.effort import examples
from tests.flows.pipelines import physical, rows

Ops = list[dict[str, Any]]


def run(
    frame: pl.DataFrame, ops: Ops | None = None, rules: Ops | None = None
) -> tuple[pl.DataFrame, RowCounts, list[Rejects]]:
    """The frame through all segments of the pipeline, settled."""
    (stage,) = physical(ops, rules).stages
    row_counts, rejects = RowCounts.of(stage.nodes), []
    height = frame.height
    for segment in stage.segments:
        result = run_segment(segment, frame, row_counts)
        frame, rejects = result.frame, [*rejects, *result.rejects]
    assert row_counts.settle(stage.nodes, height) == frame.height
    return frame, row_counts, rejects


def cells(rejects: list[Rejects]) -> list[tuple[Any, ...]]:
    return [(found.node, *row) for found in rejects for row in found.cells.rows()]


def test_good_rows_pass_in_the_types_of_the_table() -> None:
    frame, row_counts, rejects = run(
        rows(id=[1, 2], name=["a", "b"], amount=["3", " 4 "], price=[1.5, 2.0]),
        [
            {"type": "cast", "field": "amount", "to": "integer"},
            {"type": "expression", "field": "total", "expression": "amount * price"},
        ],
    )
    assert frame.drop(ROW).rows() == [(1, "a", 3, None, 4.5), (2, "b", 4, None, 8.0)]
    assert frame.schema["id"] == pl.Int32
    assert not rejects
    assert row_counts.nodes["tgt"] == {"rowsIn": 2, "rowsOut": 2, "failed": 0, "skipped": 0, "warned": 0}


def test_a_value_that_cannot_be_cast_fails_its_row_alone() -> None:
    frame, row_counts, rejects = run(
        rows(id=[1, 2, 3], amount=["1", "x1", None]), [{"type": "cast", "field": "amount", "to": "integer"}]
    )
    assert frame.get_column("id").to_list() == [1, 3]
    assert cells(rejects) == [("clean", 2, "amount", "x1", "Expected integer", "cast")]
    assert row_counts.nodes["clean"]["failed"] == 1


def test_a_number_does_not_lose_its_fraction_silently() -> None:
    ops = [{"type": "cast", "field": "price", "to": "integer"}]
    _, _, rejects = run(rows(id=[1, 2, 3], price=[1.0, 1.5, float("nan")]), ops)
    assert [cell[1:4] for cell in cells(rejects)] == [(2, "price", "1.5"), (3, "price", "NaN")]


def test_on_error_null_keeps_the_row() -> None:
    op = {"type": "cast", "field": "amount", "to": "integer", "onError": "null"}
    frame, _, rejects = run(rows(id=[1, 2], amount=["1", "x"]), [op])
    assert frame.get_column("amount").to_list() == [1, None]
    assert not rejects


def test_on_error_abort_is_fatal_and_says_where() -> None:
    op = {"type": "cast", "field": "amount", "to": "integer", "onError": "abort"}
    _, _, rejects = run(rows(id=[1, 2], amount=["1", "x"]), [op])
    assert rejects[0].fatal == "Rule 'cast' stops the run: row 2, amount = 'x': Expected integer"


def test_a_value_that_does_not_fit_the_table_fails_at_the_target() -> None:
    frame, _, rejects = run(rows(id=[1, 2**40], amount=["7", "7"]))
    assert frame.get_column("id").to_list() == [1]
    assert cells(rejects) == [("tgt", 2, "id", str(2**40), "Expected integer", "type")]


def test_blank_text_becomes_null_in_columns_that_are_not_text() -> None:
    frame, _, rejects = run(rows(id=[1, 2], name=["", " "], amount=["", "  "]))
    assert frame.select("name", "amount").rows() == [("", None), (" ", None)]
    assert not rejects


def test_every_rule_a_row_breaks_is_reported_and_the_row_counts_once() -> None:
    rules = [{"field": "id", "rule": "gt:0"}, {"field": "name", "rule": "not_null"}]
    frame, row_counts, rejects = run(rows(id=[-1, 5], name=[None, "ok"]), None, rules)
    assert frame.get_column("id").to_list() == [5]
    assert cells(rejects) == [
        ("check", 1, "id", "-1", "Must be greater than 0", "r0"),
        ("check", 1, "name", None, "Required value is missing", "r1"),
    ]
    assert row_counts.nodes["check"]["failed"] == 1


@pytest.mark.parametrize("others", [["22"], ["22", "33"]])
def test_a_value_that_nobody_uses_but_cannot_be_computed_fails_its_row_whoever_is_beside_it(others: list[str]) -> None:
    op = {"type": "expression", "field": "unused", "expression": "cast(name as int)"}
    names = ["x", *others]
    frame, _, rejects = run(rows(id=[*range(len(names))], name=names), [op], [{"field": "name", "rule": "ne:33"}])
    assert [cell[:3] for cell in cells(rejects) if cell[0] == "clean"] == [("clean", 1, "unused")]
    assert frame.get_column("name").to_list() == ["22"]


def test_skip_drops_without_an_error_and_warn_loads_with_one() -> None:
    rules = [{"field": "id", "rule": "gt:0", "onFail": "skip"}, {"field": "name", "rule": "not_null", "onFail": "warn"}]
    frame, row_counts, rejects = run(rows(id=[-1, 5], name=[None, None]), None, rules)
    assert frame.get_column("id").to_list() == [5]
    assert [cell[:3] for cell in cells(rejects)] == [("check", 1, "name"), ("check", 2, "name")]
    assert row_counts.nodes["check"] == {"rowsIn": 2, "rowsOut": 1, "failed": 0, "skipped": 1, "warned": 2}


def test_a_row_that_failed_is_not_evaluated_again_later() -> None:
    ops = [{"type": "cast", "field": "amount", "to": "integer"}]
    _, row_counts, rejects = run(rows(id=[1], amount=["x"]), ops, [{"field": "amount", "rule": "not_null"}])
    assert [cell[0] for cell in cells(rejects)] == ["clean"]
    assert row_counts.nodes["check"] == {"rowsIn": 0, "rowsOut": 0, "failed": 0, "skipped": 0, "warned": 0}


def test_filtered_rows_are_skipped_and_never_seen_by_later_ops() -> None:
    ops = [
        {"type": "filter", "expression": "amount <> 'NA'"},
        {"type": "expression", "field": "amount", "expression": "cast(amount as int) + 1"},
    ]
    frame, row_counts, rejects = run(rows(id=[1, 2, 3], amount=["1", "NA", None]), ops)
    assert frame.get_column("amount").to_list() == [2]
    assert not rejects
    assert row_counts.nodes["clean"]["skipped"] == 2


def test_an_expression_that_raises_fails_only_the_rows_to_blame() -> None:
    amounts = [str(number) for number in range(100)]
    amounts[17] = amounts[60] = "oops"
    ops = [{"type": "expression", "field": "amount", "expression": "cast(amount as int) * 2"}]
    frame, row_counts, rejects = run(rows(id=list(range(100)), amount=amounts), ops)
    assert frame.get_column("amount").to_list() == [2 * n for n in range(100) if n not in (17, 60)]
    assert [(node, row, column) for node, row, column, *_ in cells(rejects)] == [
        ("clean", 18, "amount"),
        ("clean", 61, "amount"),
    ]
    assert "oops" in cells(rejects)[0][4]
    assert row_counts.nodes["clean"]["failed"] == 2


def test_the_value_reported_is_the_one_the_rule_saw() -> None:
    ops = [
        {"type": "rename", "from": "price", "to": "cost"},
        {"type": "expression", "field": "cost", "expression": "cost * 2"},
    ]
    _, _, rejects = run(rows(id=[1], price=[4.0]), ops, [{"field": "cost", "rule": "lt:5"}])
    assert cells(rejects) == [("check", 1, "cost", "8.0", "Must be less than 5", "r0")]


@pytest.mark.parametrize(
    ("field", "rule", "good", "bad"),
    [
        ("name", "not_empty", ["a"], ["", " ", None]),
        ("id", "gte:2", [2, 3, None], [1]),
        ("id", "lt:2", [1, None], [2]),
        ("id", "lte:2.5", [2], [3]),
        ("id", "eq:2", [2], [3]),
        ("id", "ne:2", [3], [2]),
        ("name", "eq:yes", ["yes"], ["no"]),
        ("day", "gt:2020-01-01", ["2020-01-02"], ["2020-01-01"]),
        ("id", "between:1,3", [1, 3], [0, 4]),
        ("id", "in:1,2", [1, None], [3]),
        ("name", "in:a,b", ["a"], ["c"]),
        ("name", "not_in:a,b", ["c", None], ["a"]),
        ("name", "regex:^[A-Z]{2}$", ["AB", None], ["abc", ""]),
        ("name", "email", ["a.b@example.org"], ["a@b", "not-an-email", "@x.org"]),
        ("name", "url", ["https://example.org/x?y=1", "http://localhost"], ["example.org", "ftp://x"]),
        ("name", "uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["123"]),
        ("name", "min_length:2", ["äö"], ["ä"]),
        ("name", "max_length:2", ["äö"], ["äöü"]),
        ("name", "starts_with:N1", ["N12"], ["xN1"]),
        ("name", "ends_with:.csv", ["a.csv"], ["a.csv.gz"]),
        ("amount", "type:integer", ["1", "", None], ["1.5", "x"]),
        ("amount", "type:date", ["2020-02-29"], ["2021-02-29"]),
        ("id", "expr:id % 2 = 0", [2, None], [1]),
    ],
)  # fmt: skip
def test_a_rule_reports_good_from_bad(field: str, rule: str, good: list[Any], bad: list[Any]) -> None:
    values = good + bad
    if field == "day":
        values = [date.fromisoformat(value) for value in values]
    frame = rows(**{"id": list(range(len(values))), field: values})
    _, _, rejects = run(frame, None, [{"field": field, "rule": rule, "onFail": "warn"}])
    failing = [cell[1] for cell in cells(rejects) if cell[0] == "check"]
    assert failing == list(range(len(good) + 1, len(values) + 1))


amount = st.sampled_from(["1", "20", "-3", "x", "", " 7 ", "NA", None])
table = st.lists(st.tuples(st.integers(-3, 3), amount, st.sampled_from(["a", "", None])), min_size=1, max_size=30)
OPS: Ops = [
    {"type": "filter", "expression": "amount is null or amount <> 'NA'"},
    {"type": "expression", "field": "total", "expression": "10 / (id + 0.5)"},
    {"type": "cast", "field": "amount", "to": "integer"},
]
RULES: Ops = [{"field": "amount", "rule": "gt:0"}, {"field": "name", "rule": "not_empty", "onFail": "skip"}]


@settings(max_examples=examples(60))
@given(table, st.integers(1, 30))
def test_batches_of_any_size_give_the_same(data: list[tuple[int, str | None, str | None]], size: int) -> None:
    ids, amounts, names = (list(column) for column in zip(*data, strict=True))
    whole = rows(id=ids, amount=amounts, name=names)
    frame, row_counts, rejects = run(whole, OPS, RULES)
    parts = [run(whole[start : start + size], OPS, RULES) for start in range(0, whole.height, size)]
    assert pl.concat([part[0] for part in parts]).equals(frame)
    total = RowCounts()
    for part in parts:
        total = total.plus(part[1])
    assert total.nodes == row_counts.nodes
    assert sorted(cell for part in parts for cell in cells(part[2])) == sorted(cells(rejects))
