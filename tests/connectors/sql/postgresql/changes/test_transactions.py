"""Change events are cut into batches at the ends of transactions, by their number and by their size."""

from __future__ import annotations

import numpy as np
import polars as pl

from headrace.connectors.batch_size import BATCH_BYTES
from headrace.connectors.sql.postgresql.changes.events import TRANSACTION
from headrace.connectors.sql.postgresql.changes.pgoutput import Transactions
from headrace.connectors.sql.postgresql.changes.transactions import Batches, Cut

WIDTH = 100_000


def events(transactions: list[int], count: int, each: int, *, ended: bool = True) -> tuple[pl.DataFrame, Transactions]:
    """Events of `each` wide rows in every transaction; the end of transaction n is 10 n + 10."""
    of = [place for place in range(count) for _ in range(each)]
    frame = pl.DataFrame({TRANSACTION: of, "t": ["x" * WIDTH] * len(of)})
    ids = np.array(transactions, np.int64)
    ends = ids * 10 + 10 if ended else np.zeros(count, np.int64)
    nothing = np.zeros(count, np.int64)
    return frame, Transactions(nothing, nothing, commit=ids * 10, end=ends, xid=ids, at=ids, before=nothing)


def sizes(cuts: list[Cut]) -> list[float]:
    return [cut.events.estimated_size() for cut in cuts]


def test_wide_events_are_cut_before_their_number_is_reached() -> None:
    batches, cuts = Batches(50_000, 0, 0), []
    for start in range(0, 40, 10):
        cuts += list(batches.add(*events(list(range(start, start + 10)), 10, 20)))
    rest = batches.rest(400)
    cuts += [rest] if rest is not None else []
    assert max(sizes(cuts)) <= BATCH_BYTES
    assert sum(cut.events.height for cut in cuts) == 800
    assert all(cut.rows == 0 and cut.lsn % 10 == 0 for cut in cuts)
    assert len(cuts) > 4


def test_a_large_transaction_is_given_in_parts_with_the_place_in_it() -> None:
    batches, cuts = Batches(50_000, 0, 0), []
    for _ in range(10):
        cuts += list(batches.add(*events([1], 1, 160, ended=False)))
    assert cuts
    assert max(sizes(cuts)) < 6 * BATCH_BYTES
    assert [(cut.lsn, cut.rows) for cut in cuts] == [
        (0, sum(c.events.height for c in cuts[: n + 1])) for n in range(len(cuts))
    ]
