"""`…/runs/{runId}/dlq` and `/pipeline-runs/{runId}/dlq`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from api.auth import READ, allow, guarded_router
from api.context import Context
from api.dlq import service
from api.dlq.schemas import QuarantinePage

router = guarded_router("dlq")

_Node = Annotated[str | None, Query(max_length=100)]
_Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("/pipelines/{pipeline_id}/runs/{run_id}/dlq", openapi_extra=allow(*READ), response_model_exclude_none=True)
def get_dlq(context: Context, pipeline_id: str, run_id: str, node: _Node = None, limit: _Limit = 50) -> QuarantinePage:
    """The rows a validate node of the run has in quarantine."""
    return service.read_rows(context, run_id, pipeline_id, node, limit)


@router.get("/pipeline-runs/{run_id}/dlq", openapi_extra=allow(*READ), response_model_exclude_none=True)
def get_dlq_of_run(context: Context, run_id: str, node: _Node = None, limit: _Limit = 50) -> QuarantinePage:
    """The same, by the run alone."""
    return service.read_rows(context, run_id, None, node, limit)
