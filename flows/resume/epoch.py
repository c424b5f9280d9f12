"""An epoch of a streaming run: a micro-batch of its own, with ids that no other epoch of the run has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from headrace.connectors.postgresql.ledger.epochs import epoch_load_key
from headrace.connectors.source import Discovery, Partition, Restart, numbered_from

FOLDED = 0
"""The partition under which the catalog has the counts of all finished epochs of a run."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """`number` counts the epochs of a chain of runs from 0. `base` is added to the indexes of partitions and
    publications wherever they outlive the epoch: row numbers, errors, kept rows, progress."""

    number: int = 0
    base: int = FOLDED + 1

    def load_key(self, root_run_id: str) -> str:
        """The ledger's id of what the epoch loads."""
        return epoch_load_key(root_run_id, self.number)

    def after(self, width: int) -> Epoch:
        """The next epoch; this one has used `width` indexes."""
        return Epoch(self.number + 1, self.base + max(1, width))

    @property
    def first_row(self) -> int:
        """The least number that a row of the epoch has."""
        return numbered_from(self.base)

    def numbered(self, found: Discovery) -> Discovery:
        """The discovery with the epoch's row numbers. Failed rows of an epoch are run again from what was kept of them,
        without its partitions: so the source counts as one that cannot give them a second time."""
        partitions = [replace(each, first_row=numbered_from(self.base + each.index)) for each in found.partitions]
        restart = Restart.BOUNDARY if found.restart is Restart.EXACT else found.restart
        return replace(found, partitions=partitions, restart=restart)


KEPT = "kept"
"""In the location of a replay's partition: the index under which the failed rows of an epoch were kept."""


def kept_partitions(indexes: Iterable[int]) -> list[Partition]:
    """Partitions for the failed rows of a streaming run, by the indexes that its epochs gave theirs."""
    return [
        Partition(position, numbered_from(index), 0, {KEPT: index}, label=f"epochs [{index}]")
        for position, index in enumerate(sorted(indexes))
    ]
