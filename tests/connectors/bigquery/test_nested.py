"""Nested values as JSON: every value of every type can be parsed back at any nesting."""

from __future__ import annotations

import base64
import json
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.connectors.bigquery.nested import as_json, as_text
from tests.effort import examples

SCALARS: dict[str, tuple[pa.DataType, st.SearchStrategy[Any]]] = {
    "INTEGER": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "FLOAT": (pa.float64(), st.floats()),
    "BOOLEAN": (pa.bool_(), st.booleans()),
    "STRING": (pa.string(), st.text(st.characters(codec="utf-8"), max_size=20)),
    "JSON": (pa.string(), st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists).map(json.dumps)),
    "BYTES": (pa.binary(), st.binary(max_size=10)),
    "DATE": (pa.date32(), st.dates()),
    "TIME": (pa.time64("us"), st.times()),
    "DATETIME": (pa.timestamp("us"), st.datetimes()),
    "TIMESTAMP": (pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(UTC))),
    "NUMERIC": (pa.decimal128(38, 9), st.decimals(-(10**29) + 1, 10**29 - 1, places=9)),
    "BIGNUMERIC": (pa.decimal256(76, 38), st.decimals(-(10**38) + 1, 10**38 - 1, places=38)),
}


@st.composite
def described(draw: Any, depth: int = 2) -> tuple[dict[str, Any], pa.DataType, st.SearchStrategy[Any]]:
    """A column as the REST API describes it, its Arrow type and its values."""
    kinds = [*SCALARS, *(["RECORD"] if depth else [])]
    kind = draw(st.sampled_from(kinds))
    field: dict[str, Any] = {"name": draw(st.text('aé "\\', min_size=1, max_size=3)), "type": kind}
    if kind == "RECORD":
        inside = [draw(described(depth=depth - 1)) for _ in range(draw(st.integers(1, 3)))]
        field["fields"] = [{**each[0], "name": f"{place}{each[0]['name']}"} for place, each in enumerate(inside)]
        names = [each["name"] for each in field["fields"]]
        arrow = pa.struct([pa.field(name, each[1]) for name, each in zip(names, inside, strict=True)])
        values: Any = st.fixed_dictionaries(dict(zip(names, (each[2] for each in inside), strict=True)))
    else:
        arrow, values = SCALARS[kind]
    if draw(st.booleans()):
        return {**field, "mode": "REPEATED"}, pa.list_(arrow), st.lists(values, max_size=3)
    return field, arrow, st.none() | values


@given(st.data())
@settings(max_examples=examples(150), deadline=None)
@pytest.mark.slow
def test_every_value_is_read_back_from_its_json(data: st.DataObject) -> None:
    field, arrow, strategy = data.draw(described())
    values = data.draw(st.lists(strategy, max_size=6))
    begin = data.draw(st.integers(0, len(values)))
    texts = as_json(pa.array(values, arrow).slice(begin), field).to_list()
    assert len(texts) == len(values) - begin
    for text, value in zip(texts, values[begin:], strict=True):
        if value is None:
            assert text is None
        else:
            read = json.loads(text, parse_float=Decimal, parse_int=int)
            assert read == expected(field, value), text


def expected(field: dict[str, Any], value: Any) -> Any:
    if value is None:
        return None
    if field.get("mode") == "REPEATED":
        return [expected({**field, "mode": "NULLABLE"}, each) for each in value]
    if field["type"] == "RECORD":
        return {each["name"]: expected(each, value[each["name"]]) for each in field["fields"]}
    match value:
        case bool():
            return value
        case float():
            if math.isfinite(value):
                return Number(value)
            return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case bytes():
            return base64.b64encode(value).decode()
        case datetime() | time():
            return Moment(value)
        case date():
            return value.isoformat()
        case str() if field["type"] == "JSON":
            return json.loads(value, parse_float=Decimal)
    return value


class Number:
    """Equal to a text of the same double."""

    def __init__(self, value: float) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int | Decimal) and float(other) == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return repr(self._value)


class Moment:
    """Equal to a text of the same moment."""

    def __init__(self, value: datetime | time) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and type(self._value).fromisoformat(other) == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return repr(self._value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ((0, 0, 0), "0-0 0 0:0:0"),
        ((14, 3, 14706789000000), "1-2 3 4:5:6.789"),
        ((-14, -3, -14706789000000), "-1-2 -3 -4:5:6.789"),
        ((0, 0, -1_000), "0-0 0 -0:0:0.000001"),
        ((-1, 0, 10**9), "-0-1 0 0:0:1"),
        ((120_000, 3_660_000, 87_840_000 * 3600 * 10**9 // 1000), "10000-0 3660000 87840:0:0"),
    ],
)
def test_intervals(value: tuple[int, int, int], text: str) -> None:
    array = pa.array([None, value, None], pa.month_day_nano_interval())
    assert as_text(array.slice(1), {"name": "v", "type": "INTERVAL"}).to_list() == [text, None]


def test_ranges() -> None:
    days = pa.struct([("start", pa.date32()), ("end", pa.date32())])
    whole = [{"start": date(2024, 1, 1), "end": None}, {"start": None, "end": date(2024, 2, 1)}, None]
    field = {"name": "v", "type": "RANGE", "rangeElementType": {"type": "DATE"}}
    assert as_text(pa.array(whole, days), field).to_list() == ["[2024-01-01,)", "[,2024-02-01)", None]
    assert as_json(pa.array(whole, days), field).to_list() == ['"[2024-01-01,)"', '"[,2024-02-01)"', None]
    moments = pa.struct([("start", pa.timestamp("us", "UTC")), ("end", pa.timestamp("us", "UTC"))])
    value = {"start": datetime(1, 1, 1, tzinfo=UTC), "end": datetime(2024, 1, 1, 0, 0, 0, 1, UTC)}
    field["rangeElementType"] = {"type": "TIMESTAMP"}  # type: ignore[assignment]
    assert as_text(pa.array([value], moments), field).to_list() == [
        "[0001-01-01T00:00:00Z,2024-01-01T00:00:00.000001Z)"
    ]


def test_all_77_digits_of_a_bignumeric() -> None:
    """BigQuery's greatest has more than Arrow's 76 digits, and fits its 256 bits."""
    greatest = 2**255 - 1
    raw = b"".join(each.to_bytes(32, "little", signed=True) for each in (greatest, -greatest - 1, 1, -1, 0, 10**38))
    array = pa.Array.from_buffers(pa.decimal256(76, 38), 6, [None, pa.py_buffer(raw)])
    assert as_text(array, {"name": "v", "type": "BIGNUMERIC"}).to_list() == [
        "578960446186580977117854925043439539266.34992332820282019728792003956564819967",
        "-578960446186580977117854925043439539266.34992332820282019728792003956564819968",
        "0." + "0" * 37 + "1",
        "-0." + "0" * 37 + "1",
        "0",
        "1",
    ]
