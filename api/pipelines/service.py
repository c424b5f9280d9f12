"""What pipelines can do: be listed, found and made."""

from __future__ import annotations

import structlog
from sqlalchemy import ColumnElement

from api.context import RequestContext
from api.errors import ApiError, not_found
from api.pagination import PageOf, PageRequest, page_of
from api.pipelines.deployment import ensure_deployed
from api.pipelines.schemas import CreatePipeline, IrVersionItem, PipelineDetail, PipelineItem
from catalog.models import Pipeline, new_id
from catalog.repositories import TenantCatalog
from deployments.orchestrator import OrchestratorAway
from flows.check import check_types
from ir import parse_ir
from ir.problems import Problem

_log = structlog.get_logger("headrace.api")


def list_pipelines(
    context: RequestContext,
    request: PageRequest,
    *,
    status: str | None,
    connector_id: str | None,
    schema_id: str | None,
    q: str | None,
) -> PageOf[PipelineItem]:
    """A page of the tenant's pipelines, newest first."""
    with context.catalog() as catalog:
        where: list[ColumnElement[bool]] = catalog.pipelines.matching(
            status=status, connector_id=connector_id, schema_id=schema_id, q=q
        )
        page = catalog.pipelines.page(limit=request.limit, after=request.after, where=where)
        return page_of(page, request, PipelineItem.model_validate)


def get_pipeline(context: RequestContext, pipeline_id: str) -> PipelineDetail:
    """One pipeline, or 404."""
    with context.catalog() as catalog:
        return PipelineDetail.of(owned_pipeline(catalog, pipeline_id))


def list_ir_versions(context: RequestContext, pipeline_id: str) -> list[IrVersionItem]:
    """The versions of a pipeline's IR, newest first; empty for a legacy pipeline; 404 before anything else."""
    with context.catalog() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        return [IrVersionItem.model_validate(version) for version in catalog.pipelines.ir_versions(pipeline)]


def create_pipeline(context: RequestContext, body: CreatePipeline) -> PipelineDetail:
    """Stores a pipeline and registers it with Prefect; 400 with every problem of its IR, 409 for a taken name.

    While Prefect is away the pipeline is stored all the same: its first run registers it.
    """
    if body.ir is not None:
        parsed = parse_ir(body.ir)
        problems = parsed.problems if parsed.ir is None else check_types(parsed.ir)
        if problems:
            raise ApiError(400, "The IR is not valid", details=problems)
    with context.catalog() as catalog:
        _check_references(catalog, body)
        pipeline = catalog.pipelines.add(_pipeline(body))
        if body.ir is not None:
            catalog.pipelines.save_ir(pipeline, body.ir, authored_by=context.principal.actor)
        pipeline_id = pipeline.id
    if body.ir is not None:
        try:
            ensure_deployed(context, pipeline_id)
        except OrchestratorAway as away:
            _log.warning("pipeline not registered yet", pipeline=pipeline_id, reason=str(away))
    return get_pipeline(context, pipeline_id)


def owned_pipeline(catalog: TenantCatalog, pipeline_id: str) -> Pipeline:
    """The tenant's pipeline; raises the 404 of one that does not exist."""
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
        raise ApiError(400, "The pipeline refers to what does not exist", details=problems)


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
        nodes=[node.model_dump(by_alias=True, exclude_unset=True) for node in body.nodes] if legacy else [],
        edges=[edge.model_dump(by_alias=True, exclude_unset=True) for edge in body.edges] if legacy else [],
    )
