"""What a load mode is: once before the partitions, a loader for each of them, once behind them."""

from __future__ import annotations

from typing import ClassVar, Protocol

from connectors.base import PartitionLoader, Resume
from connectors.postgresql.spec import LoadSpec


class LoadMode(Protocol):
    """`resumable`: a retry may continue behind what the ledger says, else it starts from the beginning."""

    resumable: ClassVar[bool]

    def __init__(self, spec: LoadSpec) -> None: ...

    def begin(self) -> None:
        """Once per run, before any partition: checks and prepares the target. Raises TargetError."""

    def loader(self, stage: int, partition: int, source_node: str) -> PartitionLoader:
        """The loader of one partition; its connection is opened when it is entered."""

    def finish(self) -> None:
        """Once per run, when every partition is done."""

    def counts(self) -> Resume:
        """The ledger's sums over the partitions of this target."""
