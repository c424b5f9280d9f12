"""`map_values`, `fill_null`, `trim`: replaced values keep the column's type."""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from tests.flows.compile.ops.cases import Op, planned, problems, values


def mapped(field: str, mapping: dict[str, Any], **more: Any) -> Op:
    return {"type": "map_values", "field": field, "mapping": mapping, **more}


def test_unmapped_values_stay_and_null_stays_null() -> None:
    op = mapped("text", {"a": "Alpha", "ß": "", "gone": None})
    assert values(op, "text", text=["a", "ß", "gone", "x", "", None]) == ["Alpha", "", None, "x", "", None]


def test_a_default_takes_the_place_of_the_others_but_not_of_null() -> None:
    assert values(mapped("text", {"a": "A"}, default="?"), "text", text=["a", "b", "", None]) == ["A", "?", "?", None]
    assert values(mapped("text", {"a": "A"}, default=None), "text", text=["a", "b", None]) == ["A", None, None]


@pytest.mark.parametrize(
    ("mapping", "default", "dtype"),
    [
        ({"1": "one"}, "more", pl.String),
        ({"1": True, "2": False}, None, pl.Boolean),
        ({"1": 10}, 0, pl.Int64),
        ({"1": 10, "2": 0.5}, 0, pl.Float64),
        ({"1": 10, "2": "x"}, None, pl.String),
    ],
)
def test_with_a_default_the_new_values_give_the_type(mapping: dict[str, Any], default: Any, dtype: Any) -> None:
    plan = planned(mapped("id", mapping, default=default, to="new"))
    assert plan.nodes["clean"].schema["new"] == dtype
    assert plan.nodes["clean"].schema["id"] == pl.Int64


@pytest.mark.parametrize(
    ("field", "mapping", "given", "expected"),
    [
        ("small", {"1": 7}, [1, 2, None], [7, 2, None]),
        ("price", {"0.5": 1}, [0.5, 0.25], [1.0, 0.25]),
        ("amount", {"1.50": 2}, [Decimal("1.5"), Decimal(3)], [Decimal(2), Decimal(3)]),
        ("flag", {"true": False}, [True, False, None], [False, False, None]),
        ("day", {"2024-01-01": "2024-02-29"}, [date(2024, 1, 1), None], [date(2024, 2, 29), None]),
        ("clock", {"08:00": "09:00:00"}, [time(8), time(7)], [time(9), time(7)]),
    ],
)  # fmt: skip
def test_keys_and_values_are_read_as_the_column_has_them(
    field: str, mapping: dict[str, Any], given: list[Any], expected: list[Any]
) -> None:
    assert values(mapped(field, mapping), field, **{field: given}) == expected


@pytest.mark.parametrize(
    ("op", "problem"),
    [
        (mapped("txt", {"a": "b"}), ("ops[0].field", "unknown_column")),
        (mapped("id", {"x": 1}), ("ops[0].mapping", "invalid_value")),
        (mapped("id", {"1": "x"}), ("ops[0].mapping", "invalid_value")),
        (mapped("small", {"1": 70_000}), ("ops[0].mapping", "invalid_value")),
        (mapped("id", {"1": 2, "01": 3}), ("ops[0].mapping", "duplicate_key")),
        (mapped("id", {"1": 2}, to="text"), ("ops[0].to", "column_exists")),
        ({"type": "fill_null", "fields": ["day"], "value": "soon"}, ("ops[0].value", "invalid_value")),
        ({"type": "fill_null", "fields": ["id"], "from": "text"}, ("ops[0].from", "wrong_type")),
        ({"type": "fill_null", "fields": ["id"], "from": "txt"}, ("ops[0].from", "unknown_column")),
        ({"type": "fill_null", "fields": ["id"], "value": 1, "blank": True}, ("ops[0].fields[0]", "wrong_type")),
        ({"type": "trim", "fields": ["text", "id"]}, ("ops[0].fields[1]", "wrong_type")),
    ],
)
def test_what_cannot_be_is_reported_when_the_pipeline_is_saved(op: Op, problem: tuple[str, str]) -> None:
    assert problems(op) == [problem]


def test_a_mistake_is_reported_once_although_later_ops_use_the_column() -> None:
    later = {"type": "filter", "expression": "named = 'x'"}
    assert problems(mapped("txt", {"a": "b"}, to="named"), later) == [("ops[0].field", "unknown_column")]


def test_nulls_are_filled_and_nothing_else() -> None:
    assert values({"type": "fill_null", "fields": ["id", "price"], "value": 0}, "price", price=[1.5, None]) == [
        1.5,
        0.0,
    ]
    filled = {"type": "fill_null", "fields": ["text"], "value": "none"}
    assert values(filled, "text", text=[None, "", " ", "ü"]) == ["none", "", " ", "ü"]
    assert values({**filled, "blank": True}, "text", text=[None, "", " ", "ü"]) == ["none", "none", "none", "ü"]


def test_a_null_may_be_filled_from_another_column() -> None:
    op = {"type": "fill_null", "fields": ["text"], "from": "other"}
    assert values(op, "text", text=["a", None, None], other=["x", "y", None]) == ["a", "y", None]


def test_ends_are_trimmed_of_white_space_of_every_script() -> None:
    trim: Op = {"type": "trim", "fields": ["text"]}
    assert values(trim, "text", text=["\t a b\u00a0\u3000\r\n", "", None]) == ["a b", "", None]
    assert values({**trim, "side": "start"}, "text", text=["  a "]) == ["a "]
    assert values({**trim, "side": "end"}, "text", text=["  a "]) == ["  a"]
    assert values({**trim, "characters": "0-"}, "text", text=["-00-10-0"]) == ["1"]
