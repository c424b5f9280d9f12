"""append: every batch goes straight into the table."""

from __future__ import annotations

from typing import ClassVar

from connectors.base import PartitionLoader, PublishCallback, Resume
from connectors.postgresql.loader import CopyLoader, Destination, LoadPlace
from connectors.postgresql.spec import LoadSpec
from connectors.postgresql.target import copy_statement, prepared_target


class Append:
    """See LoadMode."""

    resumable: ClassVar[bool] = True
    exclusive: ClassVar[bool] = False

    def __init__(self, spec: LoadSpec) -> None:
        self._spec = spec

    def begin(self) -> None:
        """See LoadMode."""
        with prepared_target(self._spec):
            pass

    def preview(self) -> str:
        """See LoadMode."""
        return copy_statement(self._spec.table, self._spec.columns)

    def loader(self, stage: int, partition: int, source_node: str) -> PartitionLoader:
        """See LoadMode."""
        destination = Destination(self._spec.table, self._spec.root_run_id)
        return CopyLoader(self._spec, LoadPlace(stage, partition, source_node), destination)

    def publications(self) -> int:
        """Nothing is held back."""
        return 0

    def publish(self, stage: int, index: int, on_publish: PublishCallback) -> Resume:
        """Never asked for: there are no publications."""
        raise RuntimeError("append holds no rows back")

    def finish(self) -> None:
        """Nothing is left over."""
