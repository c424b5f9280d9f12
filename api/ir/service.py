"""What the IR of a pipeline can do: be read, saved, compared, published; and any IR be checked."""

from __future__ import annotations

from typing import Any

from api.context import RequestContext
from api.errors import ApiError, Detail, not_found
from api.ir.checking import refuse_invalid
from api.ir.mode_switch import guard_mode_switch
from api.ir.schemas import (
    IrDifference,
    IrVersion,
    IrVersionItem,
    NodeChange,
    NodeColumns,
    NodeField,
    SaveIr,
    Validation,
)
from api.pipelines.deployment import follow
from api.pipelines.service import owned_pipeline
from catalog.models import Pipeline, PipelineIrVersion
from catalog.repositories import TenantCatalog
from flows.check import check_types
from flows.plan import known_columns
from flows.registered import RegisteredTables
from ir import parse_ir
from ir.diff import ir_diff
from ir.schema import Schema


def get_ir(context: RequestContext, pipeline_id: str, version: int | None, *, live: bool) -> IrVersion:
    """A saved version, the newest unless one is named or the live one is meant. 404, also when the one that is named is
    not the live one that is meant; 409 for a legacy pipeline that has none, or when none is live."""
    with context.catalog() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        if live:
            if not pipeline.ir_native:
                raise ApiError(409, "No version of the pipeline's IR is live")
            if version not in (None, pipeline.live_version):
                raise not_found("IR version")
            version = pipeline.live_version
        return _shown(pipeline, _saved(catalog, pipeline, version))


def list_versions(context: RequestContext, pipeline_id: str) -> list[IrVersionItem]:
    """The versions of a pipeline's IR, newest first; empty for a legacy pipeline; 404 before anything else."""
    with context.catalog() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        return [IrVersionItem.model_validate(version) for version in catalog.pipelines.ir_versions(pipeline)]


def save_ir(
    context: RequestContext, pipeline_id: str, body: SaveIr, *, publish: bool, expected: int | None, confirm: bool
) -> tuple[IrVersion, bool]:
    """Saves a version; the second value says whether it is new (the IR differs from the newest one).

    400 with every problem, or when a change of load mode would do harm and is not confirmed; 404; 409 when the newest
    version is not `expected`.
    """
    with context.catalog() as catalog:
        owned_pipeline(catalog, pipeline_id)
    refuse_invalid(context, body.ir)
    with context.catalog() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        if publish:
            guard_mode_switch(context, catalog, pipeline, body.ir, confirm=confirm)
        saved = catalog.pipelines.save_ir(
            pipeline,
            body.ir,
            authored_by=context.principal.actor,
            comment=body.comment,
            publish=publish,
            expected=expected,
        )
        answer = _shown(pipeline, saved.version)
    if publish:
        follow(context, pipeline_id)
    return answer, saved.new


def publish(context: RequestContext, pipeline_id: str, version: int, *, confirm: bool) -> IrVersion:
    """Makes a version live; 404 when there is none, 400 when its load mode would do harm and is not confirmed."""
    with context.catalog() as catalog:
        owned_pipeline(catalog, pipeline_id)
        pipeline = catalog.pipelines.lock(pipeline_id)
        if pipeline is None:
            raise not_found("pipeline")
        saved = _saved(catalog, pipeline, version)
        guard_mode_switch(context, catalog, pipeline, saved.ir, confirm=confirm)
        catalog.pipelines.publish(pipeline, saved)
        answer = _shown(pipeline, saved)
    follow(context, pipeline_id)
    return answer


def compare(context: RequestContext, pipeline_id: str, before: int, after: int) -> IrDifference:
    """What changed between two versions; 404 when there is no such version."""
    with context.catalog() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        documents = [_saved(catalog, pipeline, version).ir for version in (before, after)]
    found = ir_diff(*documents)
    summary = [NodeChange(node=each.node, change=each.change, details=list(each.details)) for each in found.changes]
    return IrDifference(from_version=before, to_version=after, patch=found.patch, summary=summary)


def validate(context: RequestContext, document: Any) -> Validation:
    """All that can be said of a document without looking at any data."""
    if isinstance(document, dict) and "ir" in document and "kind" not in document:
        document = document["ir"]
    parsed = parse_ir(document)
    problems, columns = parsed.problems, dict[str, Schema]()
    if parsed.ir is not None:
        with context.reading() as catalog:
            tables = RegisteredTables(catalog.schemas)
            problems, columns = check_types(parsed.ir, tables), known_columns(parsed.ir, tables)
    return Validation(
        valid=not problems,
        issues=[Detail.model_validate(problem.as_dict()) for problem in problems],
        nodes={
            node: NodeColumns(schema_=[NodeField.model_validate(field) for field in fields])
            for node, fields in columns.items()
        },
    )


def _saved(catalog: TenantCatalog, pipeline: Pipeline, version: int | None) -> PipelineIrVersion:
    found = catalog.pipelines.ir_version(pipeline, version or catalog.pipelines.newest_version(pipeline))
    if found is not None:
        return found
    if catalog.pipelines.newest_version(pipeline) == 0:
        raise ApiError(409, "The pipeline is made of legacy nodes and edges: it has no IR")
    raise not_found("IR version")


def _shown(pipeline: Pipeline, version: PipelineIrVersion) -> IrVersion:
    return IrVersion(
        version=version.version,
        ir=version.ir,
        authored_by=version.authored_by,
        comment=version.comment,
        created_at=version.created_at,
        live=pipeline.live_version == version.version,
    )
