"""The shapes of a pipeline on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from api.wire import Body, Description, Id, Name, Shown, Timestamp
from catalog.models import Pipeline
from ir.problems import fault
from ir.schedule import valid_cron


class ConnectorRef(Shown):
    """The connector of a pipeline."""

    id: str
    name: str
    type: str


class SchemaRef(Shown):
    """The schema of a pipeline."""

    id: str
    name: str
    display_name: str


class PipelineItem(Shown):
    """A pipeline as lists show it."""

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


class PipelineDetail(PipelineItem):
    """A pipeline on its own: `irVersion` is "1.0" when it has an IR, null for legacy nodes and edges."""

    ir_version: Literal["1.0"] | None = None

    @classmethod
    def of(cls, pipeline: Pipeline) -> PipelineDetail:
        """The detail of a stored pipeline."""
        detail = cls.model_validate(pipeline)
        return detail.model_copy(update={"ir_version": None if pipeline.live_version is None else "1.0"})


class IrVersionItem(Shown):
    """One saved version of a pipeline's IR, without the IR."""

    version: int
    authored_by: str | None
    comment: str | None
    created_at: Timestamp


class LegacyNode(Body):
    """A node of the older format. Its documented fields are checked; whatever else an editor adds is kept as given."""

    model_config = ConfigDict(alias_generator=to_camel, extra="allow")

    id: Id
    node_type: Annotated[str, Field(min_length=1, max_length=64)]
    label: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    position: dict[str, Any] | None = None


class LegacyEdge(Body):
    """A connection between two nodes of the older format, kept as given."""

    model_config = ConfigDict(alias_generator=to_camel, extra="allow")

    source: Id
    target: Id
    label: str | None = None


class ExecutionConfig(Body):
    """How a pipeline runs; settings beyond the two are kept as given."""

    model_config = ConfigDict(alias_generator=to_camel, extra="allow")

    batch_size: int = Field(default=5000, ge=1, le=10_000_000)
    parallelism: int = Field(default=4, ge=1, le=256)


class CreatePipeline(Body):
    """A new pipeline: IR-native with `irVersion: "1.0"` and `ir` (nodes and edges are then ignored), or legacy."""

    name: Name
    connector_id: Id
    schema_id: Id
    description: Description | None = None
    schedule: Annotated[str, AfterValidator(valid_cron)] | None = None
    execution_config: ExecutionConfig = Field(default_factory=ExecutionConfig)
    nodes: list[LegacyNode] = Field(default_factory=list, max_length=10_000)
    edges: list[LegacyEdge] = Field(default_factory=list, max_length=50_000)
    ir_version: Literal["1.0"] | None = None
    ir: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _either_ir_or_legacy(self) -> CreatePipeline:
        if self.ir_version is not None and self.ir is None:
            raise fault("missing_field", "'ir' is required with irVersion \"1.0\"", "add 'ir'")
        if self.ir_version is None and self.ir is not None:
            raise fault("missing_field", "'ir' is given without 'irVersion'", 'add "irVersion": "1.0"')
        if self.ir_version is None:
            ids = [node.id for node in self.nodes]
            if len(set(ids)) != len(ids):
                raise fault("duplicate_id", "Two nodes have the same id", "give every node its own id")
            loose = {end for edge in self.edges for end in (edge.source, edge.target)} - set(ids)
            if loose:
                raise fault("unknown_node", f"An edge names '{min(loose)}', which is no node", "use the ids of nodes")
        return self
