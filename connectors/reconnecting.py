"""Reading that goes on over another connection after the last batch, when one is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from headrace.connectors.errors import SourceError
from headrace.connectors.source import Batch, Position

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds to wait before each attempt to connect again."""


def reconnecting(
    read: Callable[[int, Position | None], Iterator[Batch]],
    rows_done: int,
    position: Position | None,
    *,
    pauses: Sequence[float],
    can_go_on: bool,
) -> Iterator[Batch]:
    """The batches of `read` from `rows_done` and `position` on. When a connection is lost, it is called with those of
    the last batch, after the next of `pauses`; without `can_go_on` only until there is a batch. Raises SourceError."""
    tries, begun = 0, False
    while True:
        try:
            for batch in read(rows_done, position):
                tries, begun = 0, True
                rows_done, position = batch.rows_done, batch.position
                yield batch
        except SourceError as error:
            # connections may be refused for a while during a restart or a failover
            passing = error.code == "connection_lost" or (error.code == "connection_failed" and tries > 0)
            if not passing or tries == len(pauses) or (begun and not can_go_on):
                raise
            time.sleep(pauses[tries])
            tries += 1
        else:
            return
