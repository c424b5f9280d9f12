"""Batches of which much is made are cut, so that what is made of a piece is bounded; others stay whole."""

from __future__ import annotations

import polars as pl

from headrace.connectors.batch_size import BATCH_BYTES
from headrace.connectors.source import ROW, Batch
from headrace.flows.runtime.transform.growth import Growth

ROWS, WIDTH = 1000, 8000


def batch(number: int) -> Batch:
    """A batch of 8 MB."""
    first = number * ROWS + 1
    frame = pl.DataFrame({"t": ["x" * WIDTH] * ROWS, ROW: range(first, first + ROWS)})
    return Batch(frame, ROWS, first - 1 + ROWS, position=f"after {number}")


def pieces(growth: Growth, number: int, factor: int) -> list[Batch]:
    """Those of a batch of which `factor` times as much is made."""
    found = []
    for piece in growth.cut(batch(number)):
        growth.made(piece, [piece.frame] * factor)
        found.append(piece)
    return found


def test_rows_that_do_not_grow_stay_together_after_the_first_of_them() -> None:
    growth = Growth()
    assert [each.rows for each in pieces(growth, 0, 1)] == [ROWS // 16, ROWS - ROWS // 16]
    assert [each.rows for each in pieces(growth, 1, 1)] == [ROWS]
    assert [each.rows for each in pieces(growth, 2, 4)] == [ROWS], "up to twice the size is fine"


def test_rows_that_grow_are_cut_and_each_piece_says_how_far_the_partition_is() -> None:
    growth = Growth()
    found = [*pieces(growth, 0, 50), *pieces(growth, 1, 50)]
    assert max(each.frame.estimated_size() * 50 for each in found) < 2 * BATCH_BYTES
    numbers = [row for each in found for row in each.frame[ROW]]
    assert numbers == list(range(1, 2 * ROWS + 1))
    done = 0
    for each in found:
        done += each.rows
        assert each.rows_done == done
        assert each.position == (f"after {done // ROWS - 1}" if done % ROWS == 0 else None)


def test_small_batches_and_rows_that_were_not_read_are_not_cut() -> None:
    few = Batch(pl.DataFrame({ROW: [1, 2]}), 2, 2)
    assert list(Growth().cut(few)) == [few]
    growth = Growth(rows=1, size=100 * BATCH_BYTES)
    unread = Batch(pl.DataFrame({ROW: []}), 5000, 5000, unread=True)
    assert list(growth.cut(unread)) == [unread]
