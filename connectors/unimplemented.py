"""Connectors that are registered but not implemented yet."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import polars as pl

from headrace.connectors.connector import Context
from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.errors import SourceError
from headrace.connectors.source import Batch, Discovery, Fitting, Partition, Wanted
from headrace.ir.schema import Schema


class UnimplementedSource:
    """A `Source` that only says that it cannot read. Its columns are those that the node declares, if any."""

    note: str | None = None

    def __init__(self, connector: str, context: Context) -> None:
        """Accepts any config."""
        self._connector = connector
        self._fields = context.fields

    def discover(self, *, max_partitions: int) -> Discovery:
        """Raises SourceError(`not_ready`)."""
        raise SourceError(
            "not_ready",
            f"The connector '{self._connector}' is coming soon: it cannot read yet.",
            "Nothing was loaded. Export the data to files and read those, until it can.",
        )

    def types_of(self, columns: Collection[str]) -> Mapping[str, Fitting]:
        return {}

    def fingerprint(self) -> str:
        """A fingerprint that differs from any real source's, so that a run is not resumed once the connector can
        read."""
        return f"coming soon: {self._connector}"

    def sample(self, rows: int) -> pl.DataFrame:
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
        """Yields nothing: there are no partitions."""
        return iter(())
