"""Operations on pipelines: list, read, create, update."""

from __future__ import annotations

from sqlalchemy import ColumnElement

from headrace.api.context import RequestContext
from headrace.api.errors import ApiError, not_found
from headrace.api.ir.checks import refuse_invalid, refuse_unstreamable
from headrace.api.pagination import PageOf, PageRequest, page_of
from headrace.api.pipelines.deployment import sync_deployment
from headrace.api.pipelines.legacy import lowered
from headrace.api.pipelines.schemas import (
    CreatePipeline,
    LegacyEdge,
    LegacyNode,
    PipelineDetail,
    PipelineItem,
    UpdatePipeline,
)
from headrace.catalog.models import Pipeline, new_id
from headrace.catalog.models.pipelines import PipelineStatus
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.runs.records import SUCCESSFUL
from headrace.deployments.sync.streams import failing
from headrace.flows.prefect.names import CANCELLED
from headrace.ir.problems import Problem


def list_pipelines(
    context: RequestContext,
    request: PageRequest,
    *,
    status: str | None,
    connector_id: str | None,
    schema_id: str | None,
    q: str | None,
    replication_id: str | None = None,
) -> PageOf[PipelineItem]:
    """A page of the tenant's pipelines, newest first."""
    with context.reading() as catalog:
        where: list[ColumnElement[bool]] = catalog.pipelines.matching(
            status=status, connector_id=connector_id, schema_id=schema_id, q=q, replication_id=replication_id
        )
        page = catalog.pipelines.page(limit=request.limit, after=request.after, where=where)
        return page_of(page, request, PipelineItem.model_validate)


def get_pipeline(context: RequestContext, pipeline_id: str) -> PipelineDetail:
    """One pipeline. Raises ApiError 404."""
    with context.reading() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        problems = [] if pipeline.ir_native else list(lowered(pipeline).problems)
        if (refusal := catalog.pipelines.refusal(pipeline)) is not None:
            hint = "its schedule does not fire as it is shown, and runs are refused; change the pipeline"
            problems.append(Problem("schedule" if pipeline.live_schedule else "name", "prefect_refuses", refusal, hint))
        mode = pipeline.execution_config.get("mode")
        for ended in context.store.streams.ended(CANCELLED, pipeline_id) if mode == "streaming" else ():
            if (told := failing(ended)) is not None:
                hint = "correct what it says, or pause the pipeline; POST /pipelines/{id}/run starts it at once"
                problems.append(Problem("executionConfig.mode", "stream_fails", told, hint))
        return PipelineDetail.of(pipeline, problems)


def create_pipeline(context: RequestContext, body: CreatePipeline) -> PipelineDetail:
    """Stores a pipeline and registers it with Prefect. Errors: 400 with every problem of its IR, 409 for a taken name.

    If Prefect is unreachable, the pipeline is stored and registered later. Legacy nodes that cannot run yet are stored
    too; `issues` lists what is missing.
    """
    if body.ir is not None:
        refuse_invalid(context, body.ir, connector_id=body.connector_id)
        refuse_unstreamable(body.ir, body.execution_config.mode, body.schedule)
    with context.catalog() as catalog:
        _check_references(catalog, body)
        pipeline = catalog.pipelines.add(_pipeline(body))
        if body.ir is not None:
            catalog.pipelines.save_ir(pipeline, body.ir, authored_by=context.principal.actor)
        else:
            catalog.pipelines.save_lowered(pipeline, lowered(pipeline).ir)
        pipeline_id = pipeline.id
    sync_deployment(context, pipeline_id)
    return get_pipeline(context, pipeline_id)


def update_pipeline(context: RequestContext, body: UpdatePipeline) -> PipelineDetail:
    """Updates the fields given in the body; `nodes` replaces nodes and edges. Errors: 404, 409 for a taken name
    and for nodes of a pipeline that has an IR."""
    given = body.model_fields_set
    with context.catalog() as catalog:
        pipeline = catalog.pipelines.lock(body.id)
        if pipeline is None:
            raise not_found("pipeline")
        refuse_replicated(catalog, pipeline)
        for name in ("name", "description", "schedule"):
            if name in given:
                setattr(pipeline, name, getattr(body, name))
        if "status" in given and pipeline.status != body.status:
            pipeline.status = "paused" if body.status == "paused" else _resumed(catalog, pipeline)
        if "execution_config" in given:
            pipeline.execution_config = body.execution_config.model_dump(by_alias=True, exclude_unset=True)
        if "nodes" in given:
            if pipeline.ir_native and (body.nodes or body.edges):
                raise ApiError(409, "The pipeline runs its IR: save a new version of that instead of nodes")
            pipeline.nodes, pipeline.edges = _nodes(body.nodes), _edges(body.edges or [])
        if given & {"execution_config", "schedule", "nodes"}:
            with catalog.session.no_autoflush:  # a name that is taken is found by `save`
                live = catalog.pipelines.ir_version(pipeline) if pipeline.ir_native else None
            document = (lowered(pipeline).ir or {}) if live is None else live.ir
            refuse_unstreamable(document, pipeline.execution_config.get("mode"), pipeline.schedule)
        catalog.pipelines.save(pipeline)
        if not pipeline.ir_native:
            catalog.pipelines.save_lowered(pipeline, lowered(pipeline).ir)
    sync_deployment(context, body.id)
    return get_pipeline(context, body.id)


def _resumed(catalog: TenantCatalog, pipeline: Pipeline) -> PipelineStatus:
    """The status of a pipeline that is no longer paused: `draft` until a run has completed, then `active`."""
    ran = any(catalog.runs.newest_with_status(pipeline.id, status) is not None for status in sorted(SUCCESSFUL))
    return "active" if ran else "draft"


def refuse_replicated(catalog: TenantCatalog, pipeline: Pipeline) -> None:
    """Raises ApiError 409 for a pipeline of a replication, which the replication alone changes."""
    if pipeline.replication_id is not None:
        owner = catalog.replications.get(pipeline.replication_id)
        name = owner.name if owner is not None else pipeline.replication_id
        raise ApiError(409, f"The pipeline is of the replication '{name}': change that instead")


def owned_pipeline(catalog: TenantCatalog, pipeline_id: str) -> Pipeline:
    """The tenant's pipeline. Raises ApiError 404."""
    pipeline = catalog.pipelines.get(pipeline_id)
    if pipeline is None:
        raise not_found("pipeline")
    return pipeline


def _check_references(catalog: TenantCatalog, body: CreatePipeline) -> None:
    problems = []
    if catalog.connectors.get(body.connector_id) is None:
        problems.append(Problem("connectorId", "unknown_connector", f"There is no connector '{body.connector_id}'"))
    if catalog.schemas.get(body.schema_id) is None:
        problems.append(Problem("schemaId", "unknown_schema", f"There is no schema '{body.schema_id}'"))
    if problems:
        raise ApiError(400, "The pipeline refers to objects that do not exist", details=problems)


def _pipeline(body: CreatePipeline) -> Pipeline:
    legacy = body.ir is None
    return Pipeline(
        id=new_id("pipe"),
        name=body.name,
        description=body.description,
        status="draft",
        schedule=body.schedule,
        connector_id=body.connector_id,
        schema_id=body.schema_id,
        execution_config=body.execution_config.model_dump(by_alias=True, exclude_unset=True),
        nodes=_nodes(body.nodes) if legacy else [],
        edges=_edges(body.edges) if legacy else [],
    )


def _nodes(nodes: list[LegacyNode]) -> list[dict[str, object]]:
    return [node.model_dump(by_alias=True, exclude_unset=True) for node in nodes]


def _edges(edges: list[LegacyEdge]) -> list[dict[str, object]]:
    return [edge.model_dump(by_alias=True, exclude_unset=True) for edge in edges]
