"""The replication document: which tables of a connection are copied, and how."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, StringConstraints

from headrace.ir.base import Doc, Shorthand, item_schema
from headrace.ir.document import Metadata
from headrace.ir.replication.patterns import Pattern, any_matches
from headrace.ir.replication.settings import Override, Settled, TableSettings, settled
from headrace.ir.schedules.schedule import Schedule

MAX_PATTERNS = 1_000
MAX_OVERRIDES = 1_000

NewTables = Literal["follow", "ignore", "fail"]
OnTableFailure = Literal["continue", "stop"]


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_several), Shorthand(item_schema)]


class Sources(Doc):
    """The tables that are copied, by their names as `GET /connectors/{id}/streams` lists them."""

    include: Patterns = Field(min_length=1, max_length=MAX_PATTERNS)
    """A table is copied whose name is of one of these: `sales.*`."""
    exclude: Patterns = Field(default=(), max_length=MAX_PATTERNS)
    """Patterns of excluded tables."""

    def has(self, name: str) -> bool:
        """Whether the table of that name is copied."""
        return any_matches(self.include, name) and not any_matches(self.exclude, name)


class ReplicationIR(Doc):
    """Replication 1.0."""

    schema_url: str | None = Field(default=None, alias="$schema", exclude=True)
    """The JSON Schema that an editor checks the document by. It is not a part of the replication, and not stored."""
    kind: Literal["replication"]
    """The kind of document."""
    version: Literal["1.0"]
    """The version of this format."""
    id: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """The author's id of the document; the catalog assigns the replication another id."""
    metadata: Metadata
    """Who and what; `name` is unique among the tenant's replications."""
    connection: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
    """The id or name of the connector record that everything is read through."""
    sources: Sources
    """Which tables are copied."""
    defaults: TableSettings = TableSettings()
    """How they are copied."""
    overrides: tuple[Override, ...] = Field(default=(), max_length=MAX_OVERRIDES)
    """How some of them are copied instead; of several that name a table, each adds to those before it."""
    schedule: Schedule | None = None
    """The schedule; without one, runs are started by hand."""
    parallelism: int = Field(default=4, ge=1, le=64)
    """So many tables at a time."""
    new_tables: NewTables = "follow"
    """What a run does with tables that are new since the last one: copies them too, skips them, or fails. After a
    change of `sources` or `connection` no table counts as new."""
    on_table_failure: OnTableFailure = "continue"
    """Whether the other tables are copied when one has failed."""

    def settings_of(self, name: str) -> Settled:
        """How the table of that name is copied."""
        return settled(self.defaults, self.overrides, name)
