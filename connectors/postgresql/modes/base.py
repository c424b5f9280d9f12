"""What a load mode is: once before the partitions, a loader for each of them, and what publishes their rows."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from connectors.base import PartitionLoader, PublishCallback, Resume
from connectors.postgresql.spec import LoadSpec


class LoadMode(Protocol):
    """`resumable`: a retry continues behind what the ledger says, else it starts from the beginning.
    `exclusive`: no other run may load into the table at the same time."""

    resumable: ClassVar[bool]
    exclusive: ClassVar[bool]

    def __init__(self, spec: LoadSpec) -> None: ...

    def preview(self) -> str:
        """What the database will be told, for people; asks it nothing."""

    def begin(self) -> None:
        """Once per run, before any partition: checks and prepares the target. Raises TargetError."""

    def loader(self, stage: int, partition: int, source_node: str) -> PartitionLoader:
        """The loader of one partition; its connection is opened when it is entered."""

    def publications(self) -> int:
        """How many independent steps bring held back rows into the table once every partition is done; 0 where the
        loaders load straight into it. The same in every attempt."""

    def publish(self, stage: int, index: int, on_publish: PublishCallback) -> Resume:
        """One of them, in one transaction with its ledger row; gives that row, also when it was done before. Thread
        safe. Raises TargetError."""

    def finish(self) -> None:
        """Once per run, when everything is published: removes what was only needed on the way."""


@runtime_checkable
class KeepsRowsApart(Protocol):
    """What a load mode has besides when every partition's rows stand in a table apart that is swapped in at the end:
    its name (`schema.table`), for the hooks that judge the rows before the swap."""

    @property
    def rows_apart(self) -> str: ...
