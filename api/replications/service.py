"""Operations on replications: list, read, create, update, delete."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select

from headrace.api.context import RequestContext
from headrace.api.errors import ApiError, not_found
from headrace.api.pagination import PageOf, PageRequest, page_of
from headrace.api.pipelines.deployment import sync_deployment
from headrace.api.replications.checks import checked
from headrace.api.replications.schemas import CreateReplication, ReplicationItem, UpdateReplication
from headrace.catalog.errors import StaleVersion
from headrace.catalog.models import Pipeline, PipelineRun, Replication, ReplicationTable, new_id
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.runs.records import TERMINAL
from headrace.ir.document import without_editor_keys
from headrace.ir.problems import Problem

_CANCEL_TIMEOUT_S = 10.0
_POLL_S = 0.2


def list_replications(context: RequestContext, request: PageRequest, q: str | None) -> PageOf[ReplicationItem]:
    """A page of the tenant's replications, newest first."""
    with context.reading() as catalog:
        where = [func.strpos(func.lower(Replication.name), func.lower(q)) > 0] if q else []
        page = catalog.replications.page(limit=request.limit, after=request.after, where=where)
        counts = _counts(catalog, [each.id for each in page.items])
        return page_of(page, request, lambda each: _shown(each, counts))


def get_replication(context: RequestContext, replication_id: str) -> ReplicationItem:
    """One replication. Raises ApiError 404."""
    with context.reading() as catalog:
        found = owned_replication(catalog, replication_id)
        return _shown(found, _counts(catalog, [found.id]))


def create_replication(context: RequestContext, body: CreateReplication) -> ReplicationItem:
    """Stores a replication and registers it with Prefect. Errors: 400 with every problem of its document, 409 for a
    taken name. Its tables are inspected by a plan or a run."""
    with context.catalog() as catalog:
        document, connector = checked(catalog, body.document)
        stored = without_editor_keys(body.document)
        replication = Replication(
            id=new_id("repl"),
            name=document.metadata.name,
            status="active",
            document=stored,
            version=1,
            connector_id=connector.id,
            schedule=stored.get("schedule"),
        )
        replication_id = catalog.replications.create(replication).id
    sync_deployment(context, replication_id)
    return get_replication(context, replication_id)


def update_replication(
    context: RequestContext, body: UpdateReplication, *, expected: int | None = None
) -> ReplicationItem:
    """Updates what is given. Errors: 404, 400 with every problem of the document, 409 for a taken name, or if its
    version is not the `expected` one. Pipelines of its tables follow in the next run."""
    given = body.model_fields_set
    with context.catalog() as catalog:
        replication = catalog.replications.lock(body.id)
        if replication is None:
            raise not_found("replication")
        if expected is not None and replication.version != expected:
            raise StaleVersion(replication.version, "replication")
        if "document" in given:
            _, connector = checked(catalog, body.document)
            catalog.replications.change(replication, body.document, connector_id=connector.id)
        if "status" in given and replication.status != body.status:
            replication.status = body.status
            catalog.replications.touch(replication)
    sync_deployment(context, body.id)
    return get_replication(context, body.id)


def document_problems(context: RequestContext, replication_id: str, document: dict[str, Any]) -> Sequence[Problem]:
    """Why the document could not be saved; none if it can. Raises ApiError 404."""
    with context.reading() as catalog:
        owned_replication(catalog, replication_id)
        try:
            checked(catalog, document)
        except ApiError as error:
            return error.details
    return ()


def delete_replication(context: RequestContext, replication_id: str, *, force: bool) -> None:
    """Deletes the replication with the pipelines of its tables; what they loaded stays. Raises ApiError: 404, 409 while
    it or one of them has a run that has not ended. With `force` those are cancelled and awaited for ten seconds."""
    with context.reading() as catalog:
        owned_replication(catalog, replication_id)
        active = _unfinished(catalog, replication_id)
    if active and not force:
        raise ApiError(
            409,
            f"The replication has runs that have not ended ({', '.join(active[:3])}): wait, cancel, or delete it with "
            "force=true",
        )
    for run_id in active:
        context.orchestrator.cancel(run_id)
    deadline = time.monotonic() + _CANCEL_TIMEOUT_S
    for run_id in active:
        while time.monotonic() < deadline:
            state = context.orchestrator.state(run_id)
            if state is None or state.status in TERMINAL:
                break
            time.sleep(_POLL_S)
    with context.catalog() as catalog:
        replication = catalog.replications.lock(replication_id)
        if replication is None:
            raise not_found("replication")
        for pipeline in _pipelines(catalog, replication_id):
            catalog.pipelines.remove(pipeline)
        catalog.replications.remove(replication)
    sync_deployment(context, replication_id)


def owned_replication(catalog: TenantCatalog, replication_id: str) -> Replication:
    """The tenant's replication. Raises ApiError 404."""
    found = catalog.replications.get(replication_id)
    if found is None:
        raise not_found("replication")
    return found


def _pipelines(catalog: TenantCatalog, replication_id: str) -> list[Pipeline]:
    return list(catalog.session.scalars(catalog.pipelines.owned().where(Pipeline.replication_id == replication_id)))


def _unfinished(catalog: TenantCatalog, replication_id: str) -> list[str]:
    of_tables = (
        select(PipelineRun.id)
        .join(Pipeline, Pipeline.id == PipelineRun.pipeline_id)
        .where(Pipeline.replication_id == replication_id, PipelineRun.status.not_in(TERMINAL))
    )
    return [*catalog.replications.unfinished_runs(replication_id), *catalog.session.scalars(of_tables)]


def _counts(catalog: TenantCatalog, ids: list[str]) -> dict[str, int]:
    query = (
        select(ReplicationTable.replication_id, func.count())
        .where(
            ReplicationTable.replication_id.in_(ids),
            ReplicationTable.there,
            ReplicationTable.pipeline_id.is_not(None),
        )
        .group_by(ReplicationTable.replication_id)
    )
    return {row[0]: row[1] for row in catalog.session.execute(query)}


def _shown(replication: Replication, counts: dict[str, int]) -> ReplicationItem:
    facts = {name: getattr(replication, name) for name in ReplicationItem.model_fields if name != "tables"}
    return ReplicationItem.model_validate({**facts, "tables": counts.get(replication.id, 0)})
