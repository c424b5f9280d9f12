"""Bytes that are no UTF-8, by line."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from headrace.connectors.files.delimited import encoding
from tests.effort import examples

_TEXTS = [b"a", b"\n", "é".encode(), "€".encode(), "😀".encode(), b"\xfc", b"\xe2\x82", b"\xf0", b"\x80"]
_PIECES = st.sampled_from(_TEXTS)


def line_by_line(block: bytes) -> list[int]:
    found, start = [], 0
    for line in block.split(b"\n"):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            found.append(start + error.start)
        start += len(line) + 1
    return found


@settings(max_examples=examples(300))
@given(block=st.lists(_PIECES, max_size=60).map(b"".join), window=st.integers(4, 9))
def test_the_first_invalid_byte_of_each_line_is_found_whatever_is_decoded_at_once(block: bytes, window: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding, "_WINDOW", window)
        assert encoding.invalid_offsets(block) == line_by_line(block)


@settings(max_examples=examples(200))
@given(st.lists(_PIECES, max_size=60).map(b"".join))
@example(b"")
@example(b"\xed\xa0\x80")
def test_a_block_is_utf8_if_it_can_be_decoded(block: bytes) -> None:
    assert encoding.is_utf8(block) == (not line_by_line(block))
