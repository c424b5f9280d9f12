"""`explode`: a row for each element, numbered so that its row is found, and every row without one accounted for."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.connectors.source import ROW
from headrace.flows.compile import logical_plan
from headrace.flows.compile.json_lists import json_elements
from headrace.ir import parse_ir
from headrace.ir.schema import Field
from tests.effort import examples
from tests.flows.compile.ops.cases import Op, frame, passed, planned, problems
from tests.flows.pipelines import document

LIST: Op = {"type": "explode", "field": "text", "maxElements": 10}
COMMAS: Op = {**LIST, "separator": ","}


def test_json_lists_become_rows_with_numbers_that_lead_back_to_theirs() -> None:
    texts = ['["ä\\n", 1.50, null, {"a": [1, 2]}]', "[]", None, "", " null ", ' [ "x" ] ']
    made, cells, counters = passed(planned({**LIST, "positionTo": "at"}), frame(id=[1, 2, 3, 4, 5, 6], text=texts))
    assert cells == []
    assert made.select(ROW, "id", "text", "at").rows() == [
        (1, 1, "ä\n", 1), (2, 1, "1.50", 2), (3, 1, None, 3), (4, 1, '{"a": [1, 2]}', 4),
        (11, 2, None, None), (21, 3, None, None), (31, 4, None, None), (41, 5, None, None),
        (51, 6, "x", 1),
    ]  # fmt: skip
    assert (counters["skipped"], counters["made"]) == (0, 3)


def test_rows_without_elements_may_be_skipped_and_are_counted() -> None:
    op = {**COMMAS, "to": "word", "keepEmpty": False}
    made, cells, counters = passed(planned(op), frame(text=["a,b", "", None, "c,,d"]))
    assert made.select("text", "word").rows() == [
        ("a,b", "a"), ("a,b", "b"), ("c,,d", "c"), ("c,,d", ""), ("c,,d", "d")
    ]  # fmt: skip
    assert (cells, counters["skipped"], counters["made"]) == ([], 2, 3)


def test_what_is_no_list_and_what_is_too_long_is_an_error_row() -> None:
    texts = ["[1]", "{}", "7", '"[a"', "[1,", json.dumps([*range(11)])]
    made, cells, counters = passed(planned(LIST), frame(text=texts))
    assert made.get_column("text").to_list() == ["1"]
    reported = [(row, error) for row, _, _, error, _ in cells]
    assert reported == [
        *((row, "Expected a JSON list") for row in (2, 3, 4, 5)),
        (6, "More than 10 elements (maxElements)"),
    ]
    assert counters["failed"] == 5
    made, cells, _ = passed(planned({**LIST, "onError": "null"}), frame(text=texts))
    assert made.get_column("text").to_list() == ["1", None, None, None, None]
    assert [cell[0] for cell in cells] == [6]


def test_an_element_that_is_not_of_its_type_is_an_error_row_of_its_own() -> None:
    op = {**COMMAS, "to": "n", "dataType": "integer"}
    made, cells, counters = passed(planned(op), frame(text=["1,x,3", "4"]))
    assert made.select(ROW, "n").rows() == [(1, 1), (3, 3), (11, 4)]
    assert cells == [(2, "n", "x", "Expected integer", "explode")]
    assert counters["failed"] == 1


def test_elements_may_stay_json() -> None:
    made, _, _ = passed(
        planned({**LIST, "dataType": "json"}), frame(text=['["a", {"b": "c"}, null, 12345678901234567890.5]'])
    )
    assert made.get_column("text").to_list() == ['"a"', '{"b": "c"}', None, "12345678901234567890.5"]


@pytest.mark.parametrize("dtype", [pl.List(pl.Int32), pl.Array(pl.Int32, 2)])
def test_a_list_column_keeps_the_type_of_its_elements(dtype: pl.DataType) -> None:
    """No source's schema has a word for lists, so the columns are given to the compiler as polars has them."""
    from headrace.flows.compile.ops import COMPILERS
    from headrace.flows.compile.scope import Scope
    from headrace.flows.compile.stages.segment import fuse
    from headrace.flows.runtime.transform.row_counts import RowCounts
    from headrace.flows.runtime.transform.segment_runner import run_segment
    from headrace.ir.ops import Explode

    batch = pl.DataFrame({"a": [[1, 2], None], ROW: [1, 2]}, schema={"a": dtype, ROW: pl.Int64})
    steps = COMPILERS[Explode](Explode.model_validate({**LIST, "field": "a"}), Scope("n", "nodes[0]", batch.schema))
    for segment in fuse(steps):
        batch = run_segment(segment, batch, RowCounts.of(["n"])).frame
    assert batch.equals(pl.DataFrame({"a": [1, 2, None], ROW: [1, 2, 11]}, schema={"a": pl.Int32, ROW: pl.Int64}))


def test_two_of_them_number_their_rows_apart_or_stop_the_run() -> None:
    twice = [COMMAS, {**COMMAS, "separator": ";"}]
    made, _, _ = passed(planned(*twice), frame(text=["a;b,c", "d"]))
    assert made.select(ROW, "text").rows() == [(1, "a"), (2, "b"), (11, "c"), (101, "d")]
    far = frame(text=["a"]).with_columns(pl.lit(2**62, pl.Int64).alias(ROW))
    _, cells, _ = passed(planned(COMMAS), far)
    assert [cell[3] for cell in cells] == [
        "No row number is left for its elements: give the explode ops smaller maxElements"
    ]


@pytest.mark.parametrize(
    ("op", "problem"),
    [
        ({**LIST, "field": "txt"}, ("ops[0].field", "unknown_column")),
        ({**LIST, "field": "price"}, ("ops[0].field", "wrong_type")),
        ({**LIST, "to": "id"}, ("ops[0].to", "column_exists")),
        ({**LIST, "positionTo": "id"}, ("ops[0].positionTo", "column_exists")),
        ({**LIST, "to": "x", "positionTo": "x"}, ("ops[0].positionTo", "column_exists")),
    ],
)
def test_what_is_wrong_is_reported_at_its_place(op: Op, problem: tuple[str, str]) -> None:
    assert problems(op) == [problem]


def test_private_elements_are_private_under_their_new_name() -> None:
    ops = [{**COMMAS, "to": "word"}, {"type": "mask_pii", "field": "word", "strategy": "redact"}]
    parsed = parse_ir(document(ops))
    assert parsed.ir is not None
    plan = logical_plan(parsed.ir, {"src": (Field("id", "bigint"), Field("text", "text"))}, {})
    assert (plan.nodes["src"].private, plan.nodes["clean"].private) == ({"text"}, {"text", "word"})


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
    | st.text('"\\[]{},: ', max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a"\\]', max_size=2), inner, max_size=2),
    max_leaves=6,
)  # fmt: skip


@given(st.lists(st.none() | st.lists(json_values, max_size=4), min_size=1, max_size=5), st.booleans(), st.booleans())
@settings(max_examples=examples(150))
def test_the_elements_are_those_that_json_has(lists: list[list[Any] | None], ascii_only: bool, spread: bool) -> None:
    texts = [
        None if each is None else json.dumps(each, ensure_ascii=ascii_only, indent=1 if spread else None)
        for each in lists
    ]
    found = json_elements(pl.Series("lists", texts, dtype=pl.String)).to_list()
    assert [None if each is None else [json.loads(text) for text in each] for each in found] == lists
