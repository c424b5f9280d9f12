"""Request and response models of replications and their plans."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from headrace.api.errors import Detail
from headrace.api.pipelines.schemas import ConnectorRef
from headrace.api.wire import (
    ConnectorId,
    CreatedAt,
    Id,
    ReplicationId,
    RequestModel,
    ResponseModel,
    TenantId,
    Timestamp,
    UpdatedAt,
    omitted,
)
from headrace.catalog.models.replications import ReplicationStatus
from headrace.catalog.replications.records import TableChange
from headrace.catalog.runs.records import RunStatus
from headrace.ir.load_modes import LoadModeName


class ReplicationItem(ResponseModel):
    """A replication: many tables of one connection, each copied by a pipeline of its own."""

    id: ReplicationId
    tenant_id: TenantId
    name: str
    """The name, that of the document, unique in the tenant."""
    status: ReplicationStatus
    """The schedule of a `paused` one does not fire."""
    version: int
    """The number of the document: 1 for the first, one more for each change."""
    document: dict[str, Any]
    """The document, as it was saved; its JSON Schema is at `/api/v1/ir/schema/replication`."""
    connector_id: ConnectorId
    connector: ConnectorRef
    """The connector of the tables."""
    tables: int
    """The number of tables that it copies; 0 before its first run."""
    last_run_at: Timestamp | None
    """When the last run ended; null without one."""
    last_run_status: RunStatus | None
    """The status of that run; null without one."""
    created_at: CreatedAt
    updated_at: UpdatedAt


class CreateReplication(RequestModel):
    """A new replication: its document, whose `metadata.name` is its name."""

    document: dict[str, Any]
    """The document; its JSON Schema is at `/api/v1/ir/schema/replication`."""


class UpdateReplication(RequestModel):
    """Changes of a replication; omitted fields are unchanged. The schedule of a `paused` one does not fire."""

    id: Id
    """The replication's id: `repl_…`."""
    document: dict[str, Any] = omitted()
    """Replaces the stored document as a whole."""
    status: ReplicationStatus = omitted()
    """`paused` stops the schedule; `active` starts it again."""


class PlanReplication(RequestModel):
    """What to plan: another document than the stored one, if it is given."""

    document: dict[str, Any] | None = None
    """Another document than the stored one; null for the stored one."""


class ColumnChangeItem(ResponseModel):
    """A changed column of the source."""

    name: str
    """The column's name in the source."""
    before: str | None
    """Its type in the last run; null for a new column."""
    after: str | None
    """Its type now; null for a column that no longer exists."""


class PlannedTable(ResponseModel):
    """One table of a plan."""

    name: str
    """The table's name in the source."""
    kind: str
    """What it is in the source: `table`, `view`, …; the words are those of the connector."""
    change: TableChange
    """`new` and `changed` since the last run; `gone`: no longer in the source; `left_out`: excluded by `sources`;
    `ignored`: new, and ignored by `newTables`."""
    rows: int | None = Field(description="About how many rows the source has, where that is known")
    target: str | None = Field(description="The table that is loaded")
    load_mode: LoadModeName | None
    """How the target is loaded; null for a table that is not copied."""
    key: list[str] = Field(description="The columns of the target that identify a row")
    cursor: str | None = Field(description="The column of the source by which only what is new is read")
    columns: list[ColumnChangeItem] = Field(description="Columns that are not as they were in the last run")
    ddl: list[str] = Field(description="What a run does with the tables before it copies")
    notes: list[str]
    """Remarks for people, such as why it is read as a whole."""
    problems: list[Detail]
    """Why it is not copied; empty if it can be."""
    pipeline_id: str | None
    """The id of its pipeline; null before its first run."""
    document: dict[str, Any] | None = Field(description="The document of its pipeline")


class ReplicationPlan(ResponseModel):
    """What a run would do now; nothing is changed."""

    totals: dict[str, int] = Field(description="How many tables there are of each `change`, and `refused` ones")
    tables: list[PlannedTable]
    """Every table that the document names or named."""
