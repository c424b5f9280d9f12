"""A connector that is registered and cannot read yet: its pipelines can be built and run, say so, and load nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from connectors.base import Batch, Discovery, Partition, Wanted
from connectors.types import polars_dtype
from ir.schema import Schema


class ComingSoon:
    """A `Source` without partitions. Its columns are those the node declares; without any they are not known."""

    def __init__(
        self,
        connector: str,
        config: Mapping[str, Any],
        *,
        fields: Schema,
        files_root: Path,
        connection: Mapping[str, Any],
    ) -> None:
        """Takes any config: nobody can say yet what is wrong with it."""
        self._connector = connector
        self._fields = fields

    @property
    def note(self) -> str:
        """For the run's log."""
        return f"The connector '{self._connector}' is coming soon: it reads nothing yet, so this run has zero rows."

    def discover(self, *, max_partitions: int) -> Discovery:
        """See Source."""
        return Discovery(self._fields, (), 0, self.fingerprint())

    def fingerprint(self) -> str:
        """Never the same as a real source's, so that a run is not continued once the connector reads."""
        return f"coming soon: {self._connector}"

    def sample(self, rows: int) -> pl.DataFrame:
        """See Source."""
        return pl.DataFrame(schema={field.name: polars_dtype(field) for field in self._fields})

    def read(
        self,
        partition: Partition,
        schema: Schema,
        *,
        wanted: Wanted | None = None,
        rows_done: int = 0,
        position: int | None = None,
    ) -> Iterator[Batch]:
        """See Source; there is no partition to ask for."""
        return iter(())
