"""Guarding a change of load mode when a version of an IR goes live."""

from __future__ import annotations

from typing import Any

from api.context import RequestContext
from api.errors import ApiError
from catalog.models import Pipeline
from catalog.repositories import TenantCatalog
from catalog.repositories.usage import PipelineUsage
from flows.mode_switch import mode_switch
from ir import PipelineIR, parse_ir


def guard_mode_switch(
    context: RequestContext, catalog: TenantCatalog, pipeline: Pipeline, document: dict[str, Any], *, confirm: bool
) -> None:
    """Raises ApiError 400 for a load mode that the table does not allow, and for one that would do harm unless that is
    confirmed. `document` parses, or has been refused before."""
    after = parse_ir(document).ir
    if after is None:
        return
    usage = PipelineUsage(catalog.session, catalog.tenant_id)
    found = mode_switch(
        _live(catalog, pipeline),
        after,
        pipeline_id=pipeline.id,
        database_url=context.services.settings.database_url,
        loaded_by=lambda table: usage.loading(table, besides=pipeline.id),
    )
    if found.refused:
        raise ApiError(400, "The table does not allow the load mode", details=found.refused)
    if found.losses and not confirm:
        raise ApiError(400, "The change of the load mode must be confirmed", details=found.losses)


def _live(catalog: TenantCatalog, pipeline: Pipeline) -> PipelineIR | None:
    live = catalog.pipelines.ir_version(pipeline)
    return parse_ir(live.ir).ir if live is not None else None
