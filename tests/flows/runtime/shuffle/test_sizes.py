"""The size of rows depends on nothing but the rows, so that each attempt divides a bucket alike."""

from __future__ import annotations

from itertools import pairwise

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from headrace.flows.runtime.shuffle.sizes import Size

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "n": st.integers(0, 9) | st.none(),
            "text": st.text(max_size=40) | st.none(),
            "raw": st.binary(max_size=40) | st.none(),
            "list": st.lists(st.text(max_size=5) | st.none(), max_size=3) | st.none(),
            "both": st.fixed_dictionaries({"a": st.text(max_size=5) | st.none(), "b": st.booleans()}) | st.none(),
        }
    ),
    max_size=30,
)
SCHEMA = pl.Schema(
    {
        "n": pl.Int64,
        "text": pl.String,
        "raw": pl.Binary,
        "list": pl.List(pl.String),
        "both": pl.Struct({"a": pl.String, "b": pl.Boolean}),
    }
)


@given(ROWS, st.lists(st.integers(0, 30), max_size=4))
def test_the_sizes_of_parts_add_up_however_rows_are_parted(rows: list[dict[str, object]], cuts: list[int]) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA)
    places = [0, *sorted(cuts), frame.height]
    parts = [frame.slice(low, max(0, high - low)) for low, high in pairwise(places)]
    parts[-1] = frame.slice(places[-2])
    assert Size.total(map(Size.of, parts)) == Size.of(frame)


def test_bytes_of_values_are_counted_at_every_depth() -> None:
    frame = pl.DataFrame({"text": ["äb", None], "list": [["abc", "d"], []], "raw": [b"12345", b""]})
    assert Size.of(frame.select("text")) == Size(2, 3)
    assert Size.of(frame.select("raw")) == Size(2, 5)
    assert Size.of(frame.select("list")).values >= 4
    assert Size.of(frame.select(pl.struct("text"))) == Size(2, 3)


def test_memory_counts_fixed_widths_and_values() -> None:
    assert Size(1000, 5_000_000).memory(pl.Schema({"id": pl.Int64, "text": pl.String})) >= 5_008_000
