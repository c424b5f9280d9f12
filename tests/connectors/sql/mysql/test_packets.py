"""The description of a column, whose lengths a server makes up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.connectors.sql.mysql.packets import is_whole_description


def text(value: bytes, *, width: int) -> bytes:
    """A text with its length in one byte, or after one byte that gives the width of the length."""
    if width == 0:
        return bytes([len(value)]) + value
    return {2: b"\xfc", 3: b"\xfd", 8: b"\xfe"}[width] + len(value).to_bytes(width, "little") + value


TEXTS = st.lists(
    st.builds(text, st.binary(max_size=250), width=st.sampled_from([0, 2, 3, 8])), min_size=6, max_size=6
).map(b"".join)


@given(TEXTS, st.binary(min_size=13, max_size=20))
def test_a_whole_description_is_whole(texts: bytes, rest: bytes) -> None:
    assert is_whole_description(texts + rest)


@given(TEXTS, st.data())
def test_a_description_that_was_cut_anywhere_is_not(texts: bytes, data: st.DataObject) -> None:
    whole = texts + bytes(13)
    assert not is_whole_description(whole[: data.draw(st.integers(0, len(whole) - 1))])
