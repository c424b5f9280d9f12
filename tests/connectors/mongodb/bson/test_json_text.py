"""Documents as JSON, compared with MongoDB's Extended JSON."""

from __future__ import annotations

import json
from typing import Any

import bson
import numpy as np
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.json_util import JSONMode, JSONOptions, dumps
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.connectors.mongodb.bson.json_text import json_text
from headrace.connectors.mongodb.bson.layout import Buffer, Kind
from headrace.connectors.mongodb.bson.walk import documents
from tests.connectors.mongodb.bson.documents import DOCUMENTS, joined, with_element

RELAXED = JSONOptions(json_mode=JSONMode.RELAXED, datetime_conversion=DatetimeConversion.DATETIME_MS)
OPTIONS: Any = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)


def written(text: bytes) -> list[str | None]:
    buffer = Buffer.of(text)
    starts = documents(buffer)
    return json_text(buffer, Kind.DOCUMENT, starts[:-1], np.diff(starts)).to_list()


def ours(pairs: list[tuple[str, Any]]) -> Any:
    """What is written otherwise than there: finite decimals are numbers."""
    found = dict(pairs)
    if list(found) == ["$numberDecimal"] and found["$numberDecimal"][-1].isdigit():
        return float(found["$numberDecimal"])
    return found


@given(st.lists(DOCUMENTS, max_size=6))
@settings(deadline=None)
def test_as_the_specification_writes_it(given_: list[dict[str, Any]]) -> None:
    found = written(joined(given_))
    assert len(found) == len(given_)
    for each, text in zip(given_, found, strict=True):
        assert text is not None
        decoded = bson.decode(bson.encode(each), OPTIONS)
        expected = json.loads(dumps(decoded, json_options=RELAXED), object_pairs_hook=ours)
        assert repr(json.loads(text, object_pairs_hook=ours)) == repr(expected)


def test_numbers_have_all_their_digits() -> None:
    given_ = {
        "long": bson.Int64(2**63 - 1),
        "decimal": bson.Decimal128("1234567890123456789012345678901234"),
        "scale": bson.Decimal128("1.10"),
        "double": 0.1 + 0.2,
        "small": 5e-324,
        "zero": -0.0,
        "list": [bson.Decimal128("NaN"), float("inf")],
    }
    assert written(bson.encode(given_)) == [
        '{"long":9223372036854775807,"decimal":1234567890123456789012345678901234,"scale":1.10,'
        '"double":0.30000000000000004,"small":5e-324,"zero":-0.0,'
        '"list":[{"$numberDecimal":"NaN"},{"$numberDouble":"Infinity"}]}'
    ]


def test_null_is_not_missing_and_keys_are_as_they_are() -> None:
    given_ = [{"a": None, "b.c": 1, "$d": 2, "": 3}, {"b": {}, "e": []}, {}]
    assert written(joined(given_)) == ['{"a":null,"b.c":1,"$d":2,"":3}', '{"b":{},"e":[]}', "{}"]


def test_what_json_has_no_place_for_is_null() -> None:
    twice = with_element(bson.encode({"a": 1}), b"\x10a\0\x03\0\0\0")
    inner = bson.encode({"x": 0})[:-1] + b"\x03y\0" + twice + b"\0"
    nested = len(inner).to_bytes(4, "little") + inner[4:]
    latin = bson.encode({"a": "M\0nchen"}).replace(b"M\0nchen", b"M\xfcnchen")
    key = bson.encode({"M_": 1}).replace(b"M_", b"M\xff")
    assert written(twice + nested + latin + key + bson.encode({"a": 1})) == [None, None, None, None, '{"a":1}']
