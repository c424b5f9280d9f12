"""Batches are bounded by rows and by bytes."""

from __future__ import annotations

from headrace.connectors.batch_size import BATCH_BYTES, NextBatch, in_batches, rows_within


def test_narrow_rows_are_bounded_by_their_number_and_wide_ones_by_their_size() -> None:
    assert rows_within(1000, 100_000, 65_536) == 65_536
    assert rows_within(1000, 1000 * 100_000, 65_536) == BATCH_BYTES // 100_000
    assert rows_within(1, 10 * BATCH_BYTES, 65_536) == 1


def test_the_next_batch_grows_with_what_was_seen_and_shrinks_at_once() -> None:
    size = NextBatch(20_000)
    seen = [size.rows]
    for width in (100, 100, 100, 1_000_000, 1_000_000, 100):
        size.had(size.rows, size.rows * width)
        seen.append(size.rows)
    assert seen == [256, 2048, 16_384, 20_000, 16, 16, 128]


def test_parts_are_put_together_in_order_until_they_are_large() -> None:
    parts = [b"x" * 10, b"y" * 10, b"z" * 30, b"w"]
    assert list(in_batches(parts, len, 20)) == [[b"x" * 10, b"y" * 10], [b"z" * 30], [b"w"]]
    heavy = list(in_batches(parts, lambda part: BATCH_BYTES // 2, 1000))
    assert heavy == [[parts[0], parts[1]], [parts[2], parts[3]]]
