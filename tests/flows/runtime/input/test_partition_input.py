"""A batch cut to size holds the same rows, rejects and places."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from headrace.connectors.source import REJECT_SCHEMA, ROW, Batch
from headrace.flows.runtime.input.partition_input import cut_batch


@given(
    first_row=st.integers(1, 500),
    before=st.integers(0, 100),
    bad=st.lists(st.booleans(), min_size=1, max_size=80),
    size=st.integers(1, 100),
)
def test_nothing_is_lost_or_doubled(first_row: int, before: int, bad: list[bool], size: int) -> None:
    numbers = range(first_row + before, first_row + before + len(bad))
    good = [number for number, is_bad in zip(numbers, bad, strict=True) if not is_bad]
    rejected = [(number, None, "x", "bad", "ragged") for number, is_bad in zip(numbers, bad, strict=True) if is_bad]
    batch = Batch(
        frame=pl.DataFrame({ROW: good}, schema={ROW: pl.Int64}),
        rows=len(bad),
        rows_done=before + len(bad),
        rejects=pl.DataFrame(rejected, schema=REJECT_SCHEMA, orient="row"),
        position=4711,
    )
    pieces = list(cut_batch(batch, first_row, size))
    assert [row for piece in pieces for row in piece.frame.get_column(ROW)] == good
    assert [row for piece in pieces for row in piece.rejects.get_column("row")] == [cell[0] for cell in rejected]
    assert all(piece.rows == piece.frame.height + piece.rejects.height <= size for piece in pieces)
    assert [piece.rows_done for piece in pieces][-1] == batch.rows_done
    assert [piece.position for piece in pieces] == [None] * (len(pieces) - 1) + [4711]


def test_without_a_size_the_batch_stays_whole() -> None:
    batch = Batch(pl.DataFrame({ROW: [1, 2]}), rows=2, rows_done=2)
    assert list(cut_batch(batch, 1, None)) == [batch]
