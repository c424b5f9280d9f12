"""Request and response models of pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from headrace.api.errors import Detail
from headrace.api.wire import Description, Id, Name, RequestModel, ResponseModel, Timestamp, omitted
from headrace.catalog.models import Pipeline
from headrace.flows.runtime.execution_config import ROLLOVER_SECONDS, Mode
from headrace.ir.problems import Problem, fault
from headrace.ir.schedules.cron import valid_cron


class ConnectorRef(ResponseModel):
    """The connector of a pipeline."""

    id: str
    name: str
    type: str


class SchemaRef(ResponseModel):
    """The schema of a pipeline."""

    id: str
    name: str
    display_name: str


class PipelineItem(ResponseModel):
    """A pipeline as shown in lists."""

    id: str
    tenant_id: str
    name: str
    description: str | None
    status: str
    schedule: str | None
    connector_id: str
    schema_id: str
    execution_config: dict[str, Any]
    connector: ConnectorRef
    schema_: SchemaRef = Field(alias="schema", validation_alias="data_schema")
    nodes: list[dict[str, Any]]
    edges: list[dict[str, Any]]
    last_run_at: Timestamp | None
    last_run_status: str | None
    created_at: Timestamp
    updated_at: Timestamp
    replication_id: str | None = Field(
        default=None,
        exclude_if=lambda owner: owner is None,  # the documented shape has no such field
        description="The replication that made it, and alone changes it; left out where there is none",
    )


class PipelineDetail(PipelineItem):
    """One pipeline: `irVersion` is "1.0" when runs use its IR, null for legacy nodes and edges; `issues` lists why
    those cannot run yet."""

    ir_version: Literal["1.0"] | None = None
    issues: list[Detail] = Field(default_factory=list)

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
    node_type: Annotated[str, Field(min_length=1, max_length=64)]
    label: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    position: dict[str, Any] | None = None


class LegacyEdge(RequestModel):
    """An edge between two nodes of the legacy format, stored as given."""

    model_config = ConfigDict(alias_generator=to_camel, extra="allow")

    source: Id
    target: Id
    label: str | None = None


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
    connector_id: Id
    schema_id: Id
    description: Description | None = None
    schedule: CronText | None = None
    execution_config: ExecutionConfig = Field(default_factory=ExecutionConfig)
    nodes: LegacyNodes = Field(default_factory=list)
    edges: LegacyEdges = Field(default_factory=list)
    ir_version: Literal["1.0"] | None = None
    ir: dict[str, Any] | None = None

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
    status: Literal["active", "paused"] = omitted()
    name: Name = omitted()
    description: Description | None = None
    schedule: CronText | None = None
    execution_config: ExecutionConfig = omitted()
    nodes: LegacyNodes = omitted()
    edges: LegacyEdges = omitted()

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
