"""The tables of a tenant that rows may be looked up in, described when one is named."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from connectors.postgresql.reference import read_reference
from connectors.postgresql.tables import LOAD_ID, describe_table
from flows.compile import ReferenceTable
from flows.runtime.job import Job


class ReferenceTables(Mapping[str, ReferenceTable]):
    """By qualified name. Taking one raises TargetError when it is gone from the database; no rows are read."""

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
