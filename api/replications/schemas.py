"""Request and response models of replications and their plans."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from headrace.api.errors import Detail
from headrace.api.pipelines.schemas import ConnectorRef
from headrace.api.wire import Id, RequestModel, ResponseModel, Timestamp, omitted
from headrace.flows.replication.table_plan import Change


class ReplicationItem(ResponseModel):
    """A replication. `version` counts its documents, `tables` the tables that it copies."""

    id: str
    tenant_id: str
    name: str
    status: str
    version: int
    document: dict[str, Any]
    connector_id: str
    connector: ConnectorRef
    tables: int
    last_run_at: Timestamp | None
    last_run_status: str | None
    created_at: Timestamp
    updated_at: Timestamp


class CreateReplication(RequestModel):
    """A new replication: its document, whose `metadata.name` is its name."""

    document: dict[str, Any]


class UpdateReplication(RequestModel):
    """Changes of a replication; omitted fields are unchanged. The schedule of a `paused` one does not fire."""

    id: Id
    document: dict[str, Any] = omitted()
    status: Literal["active", "paused"] = omitted()


class PlanReplication(RequestModel):
    """What to plan: another document than the stored one, if it is given."""

    document: dict[str, Any] | None = None


class ColumnChangeItem(ResponseModel):
    """A changed column of the source; types are null if it did or does not exist."""

    name: str
    before: str | None
    after: str | None


class PlannedTable(ResponseModel):
    """One table of a plan. With `problems` it is not copied."""

    name: str
    kind: str
    change: Change
    rows: int | None = Field(description="About how many rows the source has, where that is known")
    target: str | None = Field(description="The table that is loaded")
    load_mode: str | None
    key: list[str] = Field(description="The columns of the target that identify a row")
    cursor: str | None = Field(description="The column of the source by which only what is new is read")
    columns: list[ColumnChangeItem] = Field(description="Columns that are not as they were in the last run")
    ddl: list[str] = Field(description="What a run does with the tables before it copies")
    notes: list[str]
    problems: list[Detail]
    pipeline_id: str | None
    document: dict[str, Any] | None = Field(description="The document of its pipeline")


class ReplicationPlan(ResponseModel):
    """What a run would do now; nothing is changed."""

    totals: dict[str, int] = Field(description="How many tables there are of each `change`, and `refused` ones")
    tables: list[PlannedTable]
