"""Aggregated records are taken apart as their producers put them together; anything else is a record like any other."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.connectors.kinesis.aggregation import MAGIC, Part, hash_key_of, parts_of
from tests.connectors.kinesis.producing import aggregated

LAST = 2**128 - 1
GOLDEN = bytes.fromhex(
    "f3899ac20a036f6e650a0374776f12273334303238323336363932303933383436333436333337343630373433313736383231313435351a"
    "0d08001a097b226964223a20317d1a0f080110001a097b226964223a20327d1a0608001a0200ff9af8fc4df5cd34af2692a84a13d3e1b7"
)
"""What aws-kinesis-agg 1.2.3, Amazon's own for Python, makes of three records."""


def test_what_amazons_library_wrote_is_read() -> None:
    one = hash_key_of("one")
    assert parts_of(GOLDEN) == [
        Part("one", b'{"id": 1}', one),
        Part("two", b'{"id": 2}', LAST),
        Part("one", b"\x00\xff", one),
    ]
    assert aggregated([("one", b'{"id": 1}'), ("two", b'{"id": 2}', LAST), ("one", b"\x00\xff")]) == GOLDEN


@given(
    st.lists(
        st.one_of(
            st.tuples(st.text(min_size=1, max_size=20), st.binary(max_size=300)),
            st.tuples(st.text(min_size=1, max_size=20), st.binary(max_size=300), st.integers(0, LAST)),
        ),
        max_size=30,
    ),
    st.sampled_from([b"", b"\x22\x03\x0a\x01t", b"\x28\x96\x01", b"\x31" + bytes(8), b"\x3d" + bytes(4)]),
)
def test_every_record_comes_out_as_it_went_in(parts: list[tuple[str, bytes]], extra: bytes) -> None:
    """Also with fields that the format has not: tags, and what later versions may add."""
    found = parts_of(aggregated(parts, extra=extra))
    assert found is not None
    assert [(each.key, each.data) for each in found] == [each[:2] for each in parts]
    wanted = [each[2] if len(each) == 3 else hash_key_of(each[0]) for each in parts]  # type: ignore[misc]
    assert [each.hash_key for each in found] == wanted


@given(st.binary(max_size=200))
def test_any_bytes_with_the_mark_and_a_right_sum_are_read_or_are_no_aggregate(message: bytes) -> None:
    found = parts_of(MAGIC + message + hashlib.md5(message, usedforsecurity=False).digest())
    assert found is None or all(isinstance(each.data, bytes) for each in found)


@pytest.mark.parametrize("at", range(0, len(GOLDEN), 7))
def test_a_damaged_one_is_no_aggregate(at: int) -> None:
    damaged = bytearray(GOLDEN)
    damaged[at] ^= 1
    assert parts_of(bytes(damaged)) is None
    assert parts_of(GOLDEN[:at]) is None
