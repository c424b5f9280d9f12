"""The plan of one table of a replication, and the catalog's earlier record of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headrace.catalog.replications.records import TableChange
from headrace.catalog.schemas.names import FieldDefinition
from headrace.flows.replication.columns import ColumnChange
from headrace.flows.replication.found import FoundColumn
from headrace.ir.load_modes import LoadModeName
from headrace.ir.problems import Problem


@dataclass(frozen=True, slots=True)
class KnownTable:
    """A table that the replication already copies. `columns` are the last known columns of the source, `names` maps
    columns of the source to columns of the table, `fields` are the schema's current fields."""

    name: str
    pipeline_id: str
    schema_id: str
    schema_name: str
    columns: tuple[FoundColumn, ...]
    names: Mapping[str, str]
    fields: tuple[FieldDefinition, ...]
    document: Mapping[str, Any] | None = None
    """The live document of its pipeline."""


@dataclass(frozen=True, slots=True)
class Now:
    """The catalog's records.

    `schemas` are the fields of schemas that no pipeline of another owner loads, `taken` the schemas of other owners
    with their owner, both by name; `pipelines` are names of pipelines of others. `settled`: a run has already
    registered the tables of these sources, so that other tables are new, except those in `seen`, which could not be
    copied yet."""

    tables: Mapping[str, KnownTable] = field(default_factory=dict)
    schemas: Mapping[str, tuple[FieldDefinition, ...]] = field(default_factory=dict)
    taken: Mapping[str, str] = field(default_factory=dict)
    pipelines: frozenset[str] = frozenset()
    settled: bool = False
    seen: frozenset[str] = frozenset()

    def is_new(self, name: str) -> bool:
        """Whether the table came after a run had taken up those of these sources."""
        return self.settled and name not in self.tables and name not in self.seen


@dataclass(frozen=True, slots=True)
class TablePlan:
    """One table. With `problems` it is not copied; `document` is the IR of its pipeline. `fields` are those of a schema
    that is created, `added` and `altered` (before, after) those that an existing one gets."""

    name: str
    change: TableChange
    kind: str = "table"
    rows: int | None = None
    comment: str = ""
    schema_name: str = ""
    table: str = ""
    pipeline_name: str = ""
    load_mode: LoadModeName | None = None
    key: tuple[str, ...] = ()
    cursor: str | None = None
    creates: bool = False
    fields: tuple[FieldDefinition, ...] = ()
    added: tuple[FieldDefinition, ...] = ()
    altered: tuple[tuple[FieldDefinition, FieldDefinition], ...] = ()
    columns: tuple[FoundColumn, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    column_changes: tuple[ColumnChange, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    document: Mapping[str, Any] | None = None
    execution_config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def runs(self) -> bool:
        """Whether a run copies it."""
        return not self.problems and self.change in ("new", "known", "changed")
