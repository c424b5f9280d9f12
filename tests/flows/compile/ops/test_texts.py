"""`split`, `merge`, `parse_json`: texts are split and joined; texts that do not fit are error rows."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.effort import examples
from tests.flows.compile.ops.cases import Op, frame, passed, planned, problems, values
from tests.flows.compile.ops.texts import JSON, PAIR, WORDS


def test_the_last_part_takes_the_rest_and_a_text_with_too_few_is_an_error_row() -> None:
    made, cells, counters = passed(planned(PAIR), frame(text=["x,y", "x,y,z", "x", ",", "", "  ", None, "ä,ö"]))
    assert made.select("a", "b").rows() == [
        ("x", "y"), ("x", "y,z"), ("", ""), (None, None), (None, None), (None, None), ("ä", "ö")
    ]  # fmt: skip
    assert cells == [(3, "text", "x", "Expected 2 parts separated by ','", "split")]
    assert counters == {"rowsIn": 0, "rowsOut": 0, "failed": 1, "skipped": 0, "warned": 0}


def test_the_groups_of_a_pattern_are_the_parts() -> None:
    made, cells, _ = passed(planned(WORDS), frame(text=["ab-12", "ÄB-1", "über-7", None]))
    assert made.select("a", "b").rows() == [("ab", "12"), ("über", "7"), (None, None)]
    assert cells == [(2, "text", "ÄB-1", "Does not match the pattern ^([a-zäöü]+)-([0-9]+)$", "split")]


def test_missing_parts_may_be_null_or_stop_the_run() -> None:
    made, cells, _ = passed(planned({**PAIR, "onError": "null"}), frame(text=["x"]))
    assert (made.select("a", "b").rows(), cells) == ([("x", None)], [])
    (step,) = planned({**PAIR, "onError": "abort"}).nodes["clean"].steps
    assert [check.on_fail for check in step.checks] == ["abort"]


def test_a_part_may_take_the_place_of_the_text() -> None:
    made, _, _ = passed(planned({**PAIR, "into": ["text", "b"]}), frame(text=["x,y"]))
    assert made.select("text", "b").rows() == [("x", "y")]


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), min_size=1, max_size=4),
    st.text("|,ä", min_size=1, max_size=2),
)
@settings(max_examples=examples(60))
def test_split_is_what_str_split_is(parts: list[str], separator: str) -> None:
    text = separator.join(parts)
    into = ["a", "b", "c"]
    op = {**PAIR, "separator": separator, "into": into, "onError": "null"}
    made, _, _ = passed(planned(op), frame(text=[text]))
    found = text.split(separator, 2) if text.strip() else []
    # What polars takes as blank and what Python does differ in a few control characters.
    if not set(text) & set("\x1c\x1d\x1e\x1f"):
        assert list(made.select(into).row(0)) == found + [None] * (3 - len(found))


def test_texts_of_all_types_are_joined_and_nulls_left_out() -> None:
    fields = ["id", "text", "price", "amount", "flag", "day"]
    op = {"type": "merge", "fields": fields, "to": "all", "separator": "|"}
    joined = values(
        op,
        "all",
        id=[1, None],
        text=["ü", None],
        price=[1.5, None],
        amount=[Decimal("2.50"), None],
        flag=[True, None],
        day=[date(2024, 2, 29), None],
    )
    assert joined == ["1|ü|1.5|2.50|true|2024-02-29", None]
    op = {"type": "merge", "fields": ["text", "other"], "to": "text"}
    assert values(op, "text", text=["a", None, ""], other=["b", "c", None]) == ["a b", "c", ""]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def test_values_are_read_from_json_in_their_types() -> None:
    document = {"count": 3, "place": {"city": "Zürich"}, "dates": ["2024-02-29"]}
    made, cells, _ = passed(planned(JSON), frame(text=[json.dumps(document)]))
    assert made.schema["count"] == pl.Int32
    assert made.select("count", "city", "born", "place").rows() == [
        (3, "Zürich", date(2024, 2, 29), '{"city":"Zürich"}')
    ]
    assert not cells


def test_what_is_not_there_is_null_and_what_is_wrong_is_reported() -> None:
    texts = ["{}", "[]", "5", "null", '{"count": null}', "", " ", None, "{", '{"count": "x"}', '{"dates": ["1.2.24"]}']
    made, cells, counters = passed(planned(JSON), frame(text=texts))
    assert made.get_column("__row").to_list() == list(range(1, 9))
    assert made.select("count", "city", "born", "place").unique().rows() == [(None, None, None, None)]
    assert cells == [
        (9, "text", "{", "Expected JSON", "json"),
        (10, "text", "x", "$['count']: Expected integer", "json"),
        (11, "text", "1.2.24", "$.dates[0]: Expected date", "json"),
    ]
    assert counters["failed"] == 3
    made, cells, _ = passed(planned({**JSON, "onError": "null"}), frame(text=texts))
    assert (made.height, cells) == (len(texts), [])


@given(json_values)
@settings(max_examples=examples(100))
def test_a_value_taken_as_json_is_the_json_it_was(value: Any) -> None:
    into = [{"field": "v", "dataType": "json"}]
    made, cells, _ = passed(planned({**JSON, "into": into}), frame(text=[json.dumps({"v": value})]))
    assert not cells
    found = made.get_column("v").item()
    # A text that reads as a number, a boolean, a list or an object cannot be distinguished from one.
    if not isinstance(value, str):
        assert (None if found is None else json.loads(found)) == value


@pytest.mark.parametrize(
    ("op", "problem"),
    [
        ({**PAIR, "field": "txt"}, ("ops[0].field", "unknown_column")),
        ({**PAIR, "field": "id"}, ("ops[0].field", "wrong_type")),
        ({**PAIR, "into": ["a", "id"]}, ("ops[0].into[1]", "column_exists")),
        ({**WORDS, "into": ["a"]}, ("ops[0].pattern", "pattern_groups")),
        ({**WORDS, "pattern": "("}, ("ops[0].pattern", "invalid_expression")),
        ({"type": "merge", "fields": ["id", "txt"], "to": "x"}, ("ops[0].fields[1]", "unknown_column")),
        ({"type": "merge", "fields": ["id", "text"], "to": "day"}, ("ops[0].to", "column_exists")),
        ({**JSON, "field": "day"}, ("ops[0].field", "wrong_type")),
        ({**JSON, "into": [{"field": "id"}]}, ("ops[0].into[0].field", "column_exists")),
        ({**JSON, "into": [{"field": "x", "path": "$["}]}, ("ops[0].into[0].path", "invalid_path")),
    ],
)
def test_what_cannot_be_is_reported_when_the_pipeline_is_saved(op: Op, problem: tuple[str, str]) -> None:
    assert problems(op) == [problem]


def test_the_columns_of_a_faulty_op_are_known_to_later_ones() -> None:
    assert problems({**PAIR, "field": "txt"}, {"type": "trim", "fields": ["a", "b"]}) == [
        ("ops[0].field", "unknown_column")
    ]
