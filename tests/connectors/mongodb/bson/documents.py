"""Documents of every type, for property tests, and BSON that no encoder writes."""

from __future__ import annotations

import struct
from typing import Any

from bson import Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp, encode
from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from hypothesis import strategies as st

KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
INT64 = st.integers(-(2**63), 2**63 - 1)
DECIMALS = st.binary(min_size=16, max_size=16).map(Decimal128.from_bid)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    INT64.map(Int64),
    st.floats(),
    TEXTS,
    DECIMALS,
    INT64.map(DatetimeMS),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    st.builds(Binary, st.binary(max_size=20), st.sampled_from([0, 2, 3, 4, 5, 128])),
    st.builds(Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
    st.builds(Regex, TEXTS.filter(lambda text: "\0" not in text), st.just(2)),
    st.builds(Code, TEXTS),
    st.builds(Code, TEXTS, st.dictionaries(KEYS, st.integers(0, 9), max_size=2)),
    st.sampled_from([MinKey(), MaxKey()]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=8
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=6)


def joined(documents: list[dict[str, Any]]) -> bytes:
    """As a server sends them."""
    return b"".join(encode(each) for each in documents)


def with_element(document: bytes, element: bytes) -> bytes:
    """The document with one more element at its end, whatever it has already."""
    return struct.pack("<i", len(document) + len(element)) + document[4:-1] + element + b"\0"
