"""Where the rows of a partition come from: a source's slice, or a bucket that was gathered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from connectors.base import Batch, Partition, Source
from flows.compile import Stage
from flows.compile.projection import filled_up
from flows.runtime.batches import cut


class Feed(Protocol):
    """The batches of one partition."""

    def read(self, rows_done: int, position: int | None) -> Iterator[Batch]:
        """Those behind `rows_done`, in order. Raises SourceError or RunFailed."""

    @property
    def rows(self) -> int:
        """How many rows the partition has; known once it is being read."""


@dataclass(frozen=True, slots=True)
class SourceFeed:
    """A partition of the source that a stage reads. `batch_rows` bounds a batch, where the user asked for it."""

    source: Source
    stage: Stage
    partition: Partition
    batch_rows: int | None = None

    def read(self, rows_done: int, position: int | None) -> Iterator[Batch]:
        """See Feed. Columns that the source leaves out are there without values."""
        stage = self.stage
        batches = self.source.read(
            self.partition, stage.schema, wanted=stage.wanted, rows_done=rows_done, position=position
        )
        for batch in batches:
            batch.frame = filled_up(batch.frame, stage.unread)
            yield from cut(batch, self.partition.first_row, self.batch_rows)

    @property
    def rows(self) -> int:
        """As planned."""
        return self.partition.rows
