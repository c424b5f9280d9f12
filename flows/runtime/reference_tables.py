"""The tables of a tenant for lookups, described on access."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from headrace.connectors.postgresql.tables.describe import LOAD_ID, describe_table
from headrace.connectors.postgresql.tables.reference import read_reference
from headrace.flows.compile import ReferenceTable
from headrace.flows.runtime.job import Job


def reference_tables(job: Job) -> ReferenceTables | None:
    """The tables of the job's tenant; None when the job has no database."""
    return ReferenceTables(job) if job.database_url else None


class ReferenceTables(Mapping[str, ReferenceTable]):
    """A mapping by qualified name. Access raises TargetError when the table no longer exists; no rows are read."""

    def __init__(self, job: Job) -> None:
        self._database_url, self._names = job.database_url, job.pipeline.tables

    def __getitem__(self, name: str) -> ReferenceTable:
        if name not in self._names:
            raise KeyError(name)
        table = describe_table(self._database_url, name)
        fields = tuple(column.field for column in table.columns if column.name != LOAD_ID)
        return ReferenceTable(name, fields, partial(read_reference, self._database_url, table))

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names))

    def __len__(self) -> int:
        return len(self._names)
