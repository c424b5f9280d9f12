"""Operations on the IR of a pipeline: read, save, compare, publish; and validation of any IR."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from headrace.api.context import RequestContext
from headrace.api.errors import ApiError, Detail, not_found
from headrace.api.ir.checks import connection_problems, refuse_invalid, refuse_unstreamable
from headrace.api.ir.found import found_undeclared
from headrace.api.ir.mode_switches import compare_load_modes, guard_mode_switches
from headrace.api.ir.schemas import (
    IrCheck,
    IrDifference,
    IrVersion,
    IrVersionItem,
    NodeChange,
    NodeColumns,
    NodeField,
    SaveIr,
    Validation,
)
from headrace.api.pipelines.deployment import sync_deployment
from headrace.api.pipelines.service import owned_pipeline, refuse_replicated
from headrace.catalog.models import Pipeline, PipelineIrVersion
from headrace.catalog.repositories import TenantCatalog
from headrace.flows.dry_run.plan import known_columns
from headrace.flows.validation.catalog_tables import CatalogTables
from headrace.flows.validation.check import check_types
from headrace.flows.validation.found_columns import FoundProblems, found_problems
from headrace.ir import parse_ir
from headrace.ir.diff import ir_diff
from headrace.ir.problems import Problem
from headrace.ir.schema import Schema


def get_ir(context: RequestContext, pipeline_id: str, version: int | None, *, live: bool) -> IrVersion:
    """A saved version: the newest by default, or with `live` the live one. Raises ApiError: 404, also when `version` is
    given with `live` and is not the live one; 409 for a legacy pipeline, or when no version is live."""
    with context.catalog() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        if live:
            if not pipeline.ir_native:
                raise ApiError(409, "No version of the pipeline's IR is live")
            if version not in (None, pipeline.live_version):
                raise not_found("IR version")
            version = pipeline.live_version
        return _shown(pipeline, _saved_version(catalog, pipeline, version))


def list_versions(context: RequestContext, pipeline_id: str) -> list[IrVersionItem]:
    """The versions of a pipeline's IR, newest first; empty for a legacy pipeline. Raises ApiError 404."""
    with context.catalog() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        return [IrVersionItem.model_validate(version) for version in catalog.pipelines.ir_versions(pipeline)]


def save_ir(
    context: RequestContext, pipeline_id: str, body: SaveIr, *, publish: bool, expected: int | None, confirm: bool
) -> tuple[IrVersion, bool]:
    """Saves a version; the second value is true if it is new (the IR differs from the newest one).

    Errors: 400 with every problem, or for a misspelt column or a change of load mode that needs `confirm`; 404; 409
    when the newest version is not `expected`, and for a pipeline of a replication.
    """
    with context.catalog() as catalog:
        refuse_replicated(catalog, owned_pipeline(catalog, pipeline_id))
    warnings = refuse_invalid(context, body.ir, pipeline_id, confirm=confirm)
    if publish:
        guard_mode_switches(context, pipeline_id, body.ir, confirm=confirm)
    with context.catalog() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        refuse_unstreamable(body.ir, pipeline.execution_config.get("mode"))
        saved = catalog.pipelines.save_ir(
            pipeline,
            body.ir,
            authored_by=context.principal.actor,
            comment=body.comment,
            publish=publish,
            expected=expected,
        )
        answer = _shown(pipeline, saved.version, warnings)
    if publish:
        sync_deployment(context, pipeline_id)
    return answer, saved.new


def publish(context: RequestContext, pipeline_id: str, version: int, *, confirm: bool) -> IrVersion:
    """Makes a version live. Raises ApiError: 404, 400 for a change of load mode that needs `confirm`."""
    with context.reading() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        document, compared = _saved_version(catalog, pipeline, version).ir, pipeline.live_version
    guard_mode_switches(context, pipeline_id, document, confirm=confirm)
    with context.catalog() as catalog:
        refuse_replicated(catalog, owned_pipeline(catalog, pipeline_id))
        locked = catalog.pipelines.lock(pipeline_id)
        if locked is None:
            raise not_found("pipeline")
        if locked.live_version != compared:
            raise ApiError(409, "Another version went live meanwhile; try again")
        saved = _saved_version(catalog, locked, version)
        refuse_unstreamable(saved.ir, locked.execution_config.get("mode"))
        catalog.pipelines.publish(locked, saved)
        answer = _shown(locked, saved)
    sync_deployment(context, pipeline_id)
    return answer


def compare(context: RequestContext, pipeline_id: str, before: int, after: int) -> IrDifference:
    """The difference of two versions. Raises ApiError 404."""
    with context.catalog() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        documents = [_saved_version(catalog, pipeline, version).ir for version in (before, after)]
    found = ir_diff(*documents)
    summary = [NodeChange(node=each.node, change=each.change, details=list(each.details)) for each in found.changes]
    return IrDifference(from_version=before, to_version=after, patch=found.patch, summary=summary)


def check(context: RequestContext, pipeline_id: str, body: SaveIr) -> IrCheck:
    """The problems that `save_ir` would refuse, warn of or require to confirm, and with the last found columns the
    reasons why a run would fail. Raises ApiError 404."""
    parsed = parse_ir(body.ir)
    problems, losses = list(parsed.problems), list[Problem]()
    with context.reading() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id)
        if parsed.ir is not None:
            tables = CatalogTables(catalog.schemas)
            found = found_undeclared(catalog, pipeline, body.ir)
            last = {node: each for node, each in catalog.runs.last_columns(pipeline_id).items() if node not in found}
            problems += check_types(parsed.ir, tables, last)
            problems += found_problems(parsed.ir, tables, found).all
            problems += connection_problems(parsed.ir, catalog, pipeline.connector)
    if parsed.ir is not None:
        switch = compare_load_modes(context, pipeline_id, parsed.ir)
        problems += switch.refused
        losses += switch.losses
    shown = [[Detail.model_validate(each.as_dict()) for each in some] for some in (problems, losses)]
    return IrCheck(issues=shown[0], losses=shown[1])


def validate(context: RequestContext, document: Any, pipeline_id: str | None) -> Validation:
    """Validates a document without reading data; as one of a pipeline, with the columns that were last found in its
    sources. Raises ApiError 404 for a pipeline that does not exist."""
    if isinstance(document, dict) and "ir" in document and "kind" not in document:
        document = document["ir"]
    parsed = parse_ir(document)
    problems, columns, found = [*parsed.problems], dict[str, Schema](), FoundProblems()
    with context.reading() as catalog:
        pipeline = owned_pipeline(catalog, pipeline_id) if pipeline_id is not None else None
        if parsed.ir is not None:
            tables = CatalogTables(catalog.schemas)
            sources = found_undeclared(catalog, pipeline, document)
            own = pipeline.connector if pipeline is not None else None
            problems = [
                *check_types(parsed.ir, tables),
                *connection_problems(parsed.ir, catalog, own),
            ]
            found = found_problems(parsed.ir, tables, sources)
            columns = known_columns(parsed.ir, tables, {node: each.columns for node, each in sources.items()})
    problems += found.misspelt
    return Validation(
        valid=not problems,
        issues=[Detail.model_validate(problem.as_dict()) for problem in problems],
        warnings=[Detail.model_validate(problem.as_dict()) for problem in found.others],
        nodes={
            node: NodeColumns(schema_=[NodeField.model_validate(field) for field in fields])
            for node, fields in columns.items()
        },
    )


def _saved_version(catalog: TenantCatalog, pipeline: Pipeline, version: int | None) -> PipelineIrVersion:
    found = catalog.pipelines.ir_version(pipeline, version or catalog.pipelines.newest_version(pipeline))
    if found is not None:
        return found
    if catalog.pipelines.newest_version(pipeline) == 0:
        raise ApiError(409, "The pipeline is made of legacy nodes and edges: it has no IR")
    raise not_found("IR version")


def _shown(pipeline: Pipeline, version: PipelineIrVersion, warnings: Iterable[Problem] = ()) -> IrVersion:
    return IrVersion(
        version=version.version,
        ir=version.ir,
        authored_by=version.authored_by,
        comment=version.comment,
        created_at=version.created_at,
        live=pipeline.live_version == version.version,
        warnings=[Detail.model_validate(each.as_dict()) for each in warnings],
    )
