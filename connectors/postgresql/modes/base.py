"""The interface of a load mode: preparation, a loader per partition, and publications."""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from headrace.connectors.postgresql.ledger.resume_check import ReloadEffect
from headrace.connectors.postgresql.load.spec import LoadSpec
from headrace.connectors.target import PartitionLoader, PublishCallback, Resume


class LoadMode(Protocol):
    """How rows get into the target table.

    `resumable`: a retry continues from the ledger; otherwise it starts from the beginning. `exclusive`: no other run
    may load into the table at the same time. `again`: the effect of loading all rows once more after loaded rows have
    disappeared. `beside`: how many of `connectors.source.BESIDE` its loaders fill in behind rows that are passed on as
    they are; 0 where it looks at values itself.
    """

    resumable: ClassVar[bool]
    exclusive: ClassVar[bool]
    beside: ClassVar[int]

    @property
    def again(self) -> ReloadEffect: ...

    def __init__(self, spec: LoadSpec) -> None: ...

    def preview(self) -> str:
        """The SQL that the mode will run, for people; does not connect."""

    def begin(self) -> None:
        """Once per run, before any partition: checks and prepares the target. Raises TargetError."""

    def loader(self, stage: int, partition: int, source_node: str) -> PartitionLoader:
        """The loader of one partition; it connects when it is entered."""

    def publications(self) -> int:
        """The number of independent publications that move held rows into the table when every partition is done; 0 if
        the loaders load straight into it. The same in every attempt."""

    def publish(self, stage: int, index: int, on_publish: PublishCallback) -> Resume:
        """Does one publication, in one transaction with its ledger row; returns that row, also if it was done before.
        Thread safe. Raises TargetError."""

    def finish(self) -> None:
        """Once per run, when everything is published: removes temporary tables."""


@runtime_checkable
class LoadsIntoShadow(Protocol):
    """A load mode whose rows are in a separate table (`schema.table`) until it is swapped in. Hooks that check rows
    before the swap read that table."""

    @property
    def shadow_table_name(self) -> str: ...
