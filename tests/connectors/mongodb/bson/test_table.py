"""Elements of many documents, compared with the driver's decoder."""

from __future__ import annotations

from typing import Any

import bson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.connectors.mongodb.bson.layout import Buffer, Kind, Malformed
from headrace.connectors.mongodb.bson.table import Table
from headrace.connectors.mongodb.bson.walk import Names, documents, walk
from tests.connectors.mongodb.bson.documents import DOCUMENTS, joined, with_element


@given(st.lists(DOCUMENTS, max_size=8))
@settings(deadline=None)
def test_every_value_is_found_at_its_key(given_: list[dict[str, Any]]) -> None:
    keys = sorted({key.encode() for each in given_ for key in each})
    table = Table.of(joined(given_), keys)
    assert table.rows == len(given_)
    for row, each in enumerate(given_):
        for key in keys:
            found = table.element(key, row)
            if key.decode() not in each:
                assert found is None
                continue
            assert found is not None
            whole = bson.encode({key.decode(): each[key.decode()]})
            assert found == (whole[4], whole[5 + len(key) + 1 : -1])


@given(st.lists(DOCUMENTS, min_size=1, max_size=4), st.data())
@settings(deadline=None, max_examples=150)
@pytest.mark.slow
def test_broken_bytes_are_an_error_or_read_within_their_bounds(
    given_: list[dict[str, Any]], data: st.DataObject
) -> None:
    text = bytearray(joined(given_))
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    buffer = Buffer.of(bytes(text))
    try:
        for run in walk(buffer, documents(buffer)[:-1], Names()):
            assert (run.at + run.size <= buffer.size).all()
    except Malformed:
        pass


def test_many_keys_at_one_step() -> None:
    """More than are compared one by one: they are sorted then."""
    given_ = [{f"key {place % 70}": place, "last": -place} for place in range(500)]
    keys = [f"key {place}".encode() for place in range(70)]
    table = Table.of(joined(given_), [*keys, b"last"])
    for place in range(500):
        assert table.element(keys[place % 70], place) == (Kind.INT32, place.to_bytes(4, "little"))
    assert len(table.found[b"last"].row) == 500


def test_a_key_that_is_there_twice_is_reported() -> None:
    twice = with_element(bson.encode({"a": 1, "b": 2}), b"\x10a\0\x03\0\0\0")
    table = Table.of(bson.encode({"a": 5}) + twice, [b"a", b"b"])
    assert table.found[b"a"].repeated.tolist() == [1]
    assert table.found[b"b"].repeated.tolist() == []


@pytest.mark.parametrize(
    "text", [b"\x05", b"\x05\0\0\0\x01", b"\xff\xff\xff\x7f\0", b"\x04\0\0\0", b"\0" * 5, bson.encode({}) + b"\x01"]
)
def test_what_is_no_document(text: bytes) -> None:
    with pytest.raises(Malformed):
        Table.of(text, [b"a"])
