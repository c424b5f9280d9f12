"""Request and response models of pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from headrace.api.errors import Detail
from headrace.api.wire import (
    ConnectorId,
    CreatedAt,
    Description,
    Id,
    Name,
    PipelineId,
    RequestModel,
    ResponseModel,
    SchemaId,
    TenantId,
    Timestamp,
    UpdatedAt,
    omitted,
)
from headrace.catalog.models import Pipeline
from headrace.catalog.models.pipelines import PipelineStatus
from headrace.catalog.runs.records import RunStatus
from headrace.flows.runtime.execution_config import ROLLOVER_SECONDS, Mode
from headrace.ir.problems import Problem, fault
from headrace.ir.schedules.cron import valid_cron


class ConnectorRef(ResponseModel):
    """The connector of a pipeline or replication."""

    id: ConnectorId
    name: str
    """The connector's name."""
    type: str
    """The connector type, as listed at `/connector-types`."""


class SchemaRef(ResponseModel):
    """The schema of a pipeline."""

    id: SchemaId
    name: str
    """The schema's name."""
    display_name: str
    """The schema's name for people."""


class PipelineItem(ResponseModel):
    """A pipeline as shown in lists."""

    id: PipelineId
    tenant_id: TenantId
    name: str
    """The name, unique in the tenant."""
    description: str | None
    """A text for people; null without one."""
    status: PipelineStatus
    """`draft` until a run has completed, then `active`. The schedule of a `paused` one does not fire."""
    schedule: str | None
    """The cron expression of the pipeline; null without one. A schedule in the live IR has precedence."""
    connector_id: ConnectorId
    schema_id: SchemaId
    execution_config: dict[str, Any]
    """The execution settings, as given; `ExecutionConfig` has the defaults of the others."""
    connector: ConnectorRef
    """The connector of its sources."""
    schema_: SchemaRef = Field(alias="schema", validation_alias="data_schema")
    """The schema that it loads."""
    nodes: list[dict[str, Any]]
    """The legacy nodes, as given; empty for a pipeline that was created with an IR."""
    edges: list[dict[str, Any]]
    """The legacy edges, as given; empty for a pipeline that was created with an IR."""
    last_run_at: Timestamp | None
    """When the last run began, of those that have ended; null without one."""
    last_run_status: RunStatus | None
    """The status of that run; null without one."""
    created_at: CreatedAt
    updated_at: UpdatedAt
    replication_id: str | None = Field(
        default=None,
        exclude_if=lambda owner: owner is None,  # the documented shape has no such field
        description="The replication that made it, and alone changes it; left out where there is none",
    )


class PipelineDetail(PipelineItem):
    """One pipeline, with what keeps it from running."""

    ir_version: Literal["1.0"] | None = None
    """`1.0` if runs use the pipeline's IR; null for legacy nodes and edges."""
    issues: list[Detail] = Field(default_factory=list)
    """Why it cannot run or be scheduled at the moment; empty if nothing is wrong."""

    @classmethod
    def of(cls, pipeline: Pipeline, issues: Sequence[Problem]) -> PipelineDetail:
        """The detail of a stored pipeline."""
        more = {
            "ir_version": "1.0" if pipeline.ir_native else None,
            "issues": [Detail.model_validate(issue.as_dict()) for issue in issues],
        }
        return cls.model_validate(pipeline).model_copy(update=more)


class LegacyNode(RequestModel):
    """A node of the legacy format. Documented fields are checked; other fields are stored as given."""

    model_config = ConfigDict(alias_generator=to_camel, extra="allow")

    id: Id
    """The id by which edges refer to the node; unique in the request."""
    node_type: Annotated[str, Field(min_length=1, max_length=64)]
    """`source`, `transform`, `filter`, `target`, …; the type of an unknown one is reported in `issues`."""
    label: str = ""
    """The name for people."""
    config: dict[str, Any] = Field(default_factory=dict)
    """The settings of this type of node; of a transform, `type` names the operation."""
    position: dict[str, Any] | None = None
    """The place in a visual editor, `{x, y}`; runs ignore it."""


class LegacyEdge(RequestModel):
    """An edge between two nodes of the legacy format, stored as given."""

    model_config = ConfigDict(alias_generator=to_camel, extra="allow")

    source: Id
    """The id of the node that the rows come from."""
    target: Id
    """The id of the node that the rows go to."""
    label: str | None = None
    """A text for people."""


LegacyNodes = Annotated[list[LegacyNode], Field(max_length=10_000)]
LegacyEdges = Annotated[list[LegacyEdge], Field(max_length=50_000)]
CronText = Annotated[str, StringConstraints(max_length=500), AfterValidator(valid_cron)]


class Partitioning(RequestModel):
    """How a source is split into partitions."""

    by: Literal["auto", "key", "file", "shard"] = "auto"
    """`key`: ranges of a column, of tables. Files and shards are split by themselves."""
    column: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """The column whose ranges are read; the first of the key without it."""
    partitions: int | None = Field(default=None, ge=1, le=1000)
    """At most so many; by the parallelism without it."""


class ExecutionConfig(RequestModel):
    """Execution settings; other fields are stored as given."""

    model_config = ConfigDict(alias_generator=to_camel, extra="allow")

    batch_size: int = Field(default=5000, ge=1, le=10_000_000)
    """The most rows of a transaction."""
    parallelism: int = Field(default=4, ge=1, le=256)
    """How many partitions are loaded at the same time."""
    mode: Mode = "batch"
    """`batch`: a run reads everything. `micro_batch`: a run reads what is new since the last one, of sources with a
    cursor, with offsets or with files that arrive. `streaming`: one run does so again and again, of sources with a
    cursor or with offsets."""
    max_rows: int | None = Field(default=None, ge=1, le=10**12)
    """The approximate most rows of each such source per run, or per epoch of a stream; the next one continues there.
    Not with `batch`."""
    max_seconds: int | None = Field(default=None, ge=1, le=86_400)
    """The approximate time limit in seconds for a partition of such a source; the next run or epoch continues there. 30
    with `streaming` unless given; not with `batch`."""
    rollover_seconds: int = Field(default=ROLLOVER_SECONDS, ge=10, le=86_400)
    """After so many seconds a streaming run ends and is followed by another one."""
    max_lag_seconds: int | None = Field(default=None, ge=1, le=86_400)
    """When a streaming run lags behind a source by more seconds than that, the event `headrace.run.lagging` is sent."""
    partitioning: Partitioning | None = None
    """How sources that do not say it themselves are split into partitions; by themselves without it."""

    @model_validator(mode="after")
    def _bounded(self) -> ExecutionConfig:
        if self.mode == "batch" and (self.max_rows is not None or self.max_seconds is not None):
            raise fault(
                "bad_option", "maxRows and maxSeconds are for micro_batch and streaming", "set mode, or remove them"
            )
        if self.mode != "streaming" and {"rollover_seconds", "max_lag_seconds"} & self.model_fields_set:
            raise fault("bad_option", "rolloverSeconds and maxLagSeconds are for streaming", "set mode, or remove them")
        return self


class CreatePipeline(RequestModel):
    """A new pipeline: IR-native with `irVersion: "1.0"` and `ir` (nodes and edges are then ignored), or legacy."""

    name: Name
    """The name, unique in the tenant."""
    connector_id: Id
    """The id of the connector of its sources."""
    schema_id: Id
    """The id of the schema that it loads."""
    description: Description | None = None
    """A text for people."""
    schedule: CronText | None = None
    """A cron expression with five fields, in UTC, such as `0 2 * * *`; null for a pipeline without one."""
    execution_config: ExecutionConfig = Field(default_factory=ExecutionConfig)
    """How runs are executed."""
    nodes: LegacyNodes = Field(default_factory=list)
    """Legacy nodes; ignored with `ir`."""
    edges: LegacyEdges = Field(default_factory=list)
    """Legacy edges between `nodes`; ignored with `ir`."""
    ir_version: Literal["1.0"] | None = None
    """`1.0` together with `ir`; null for legacy nodes and edges."""
    ir: dict[str, Any] | None = None
    """The document, saved as version 1; its JSON Schema is at `/api/v1/ir/schema`."""

    @model_validator(mode="after")
    def _either_ir_or_legacy(self) -> CreatePipeline:
        if self.ir_version is not None and self.ir is None:
            raise fault("missing_field", "'ir' is required with irVersion \"1.0\"", "add 'ir'")
        if self.ir_version is None and self.ir is not None:
            raise fault("missing_field", "'ir' is given without 'irVersion'", 'add "irVersion": "1.0"')
        if self.ir_version is None:
            _check_edges(self.nodes, self.edges)
        return self


class UpdatePipeline(RequestModel):
    """Changes of a pipeline; omitted fields are unchanged. `nodes` replaces nodes and edges. The schedule of a `paused`
    pipeline does not fire, but it can be run; `active` lets the schedule fire again."""

    id: Id
    """The pipeline's id: `pipe_…`."""
    status: Literal["active", "paused"] = omitted()
    """`paused` stops the schedule; `active` starts it again."""
    name: Name = omitted()
    """The new name, unique in the tenant."""
    description: Description | None = None
    """A text for people; null removes it."""
    schedule: CronText | None = None
    """A cron expression with five fields, in UTC; null removes it."""
    execution_config: ExecutionConfig = omitted()
    """How runs are executed; replaces the stored settings as a whole."""
    nodes: LegacyNodes = omitted()
    """Legacy nodes; replaces all nodes and edges. Refused with 409 for a pipeline that runs its IR."""
    edges: LegacyEdges = omitted()
    """Legacy edges between `nodes`, which are required with it."""

    @model_validator(mode="after")
    def _edges_belong_to_nodes(self) -> UpdatePipeline:
        if "edges" in self.model_fields_set and "nodes" not in self.model_fields_set:
            raise fault("missing_field", "'edges' are given without 'nodes'", "send the nodes they connect as well")
        if "nodes" in self.model_fields_set:
            _check_edges(self.nodes, self.edges or [])
        return self


def _check_edges(nodes: Sequence[LegacyNode], edges: Sequence[LegacyEdge]) -> None:
    ids = [node.id for node in nodes]
    if len(set(ids)) != len(ids):
        raise fault("duplicate_id", "Two nodes have the same id", "give every node its own id")
    loose = {end for edge in edges for end in (edge.source, edge.target)} - set(ids)
    if loose:
        raise fault("unknown_node", f"An edge refers to '{min(loose)}', which is not a node", "use the ids of nodes")
