"""The tab of a pipeline's plan, and of a preview of the rows at each node. Both read the sources and write nothing."""

from __future__ import annotations

import json
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Query, Request, Response

from headrace.api.console.graph import graph_of
from headrace.api.console.guard import pages, plain, seen_by
from headrace.api.console.pipeline import head_of, validated
from headrace.api.console.rendering import fragment, render
from headrace.api.context import Context
from headrace.api.pipelines.history import history
from headrace.api.plans import service as plans
from headrace.api.plans.schemas import PlanRequest, PreviewRequest
from headrace.api.requests.auth import READ, WRITE
from headrace.ir import parse_ir

router = pages()

_FIELD = "parameter."
_ROWS = 20


@router.get("/pipelines/{pipeline_id}/plan", name="console_plan", openapi_extra=seen_by(*READ))
def show_plan(
    request: Request, context: Context, pipeline_id: str, node: Annotated[str | None, Query(max_length=300)] = None
) -> Response:
    """The tab; the plan and the preview are loaded after it, as they read the sources."""
    found = history(context, pipeline_id, runs=0)
    parsed = parse_ir(found.document)
    ids = [each.id for each in parsed.ir.nodes] if parsed.ir is not None else []
    links = {each: f"/pipelines/{pipeline_id}/plan?{urlencode({'node': each})}#rows" for each in ids}
    graph = graph_of(parsed.ir, links=links) if parsed.ir is not None else None
    for each in graph["nodes"] if graph is not None else ():
        each["current"] = each["id"] == node
    defaults = {each["name"]: str(each.get("default") or "") for each in found.parameters}
    given = {name: request.query_params.get(f"{_FIELD}{name}", default) for name, default in defaults.items()}
    return render(
        request,
        "pipeline_plan.html",
        **head_of(found, "plan"),
        graph=graph,
        node=node if node in ids else None,
        given=given,
        described={each["name"]: each.get("description") or "" for each in found.parameters},
        ready=all(given.values()),
        query={**{f"{_FIELD}{name}": value for name, value in given.items()}},
    )


@router.get("/pipelines/{pipeline_id}/plan/stages", name="console_plan_stages", openapi_extra=seen_by(*READ))
async def show_stages(request: Request, context: Context, pipeline_id: str) -> Response:
    """What a run would do now."""
    body = validated(PlanRequest, {"parameters": _parameters(request)})
    found = await plans.plan(context, request, pipeline_id, body)
    return plain(fragment("plan_stages.html", plan=_json(found)))


@router.get("/pipelines/{pipeline_id}/plan/rows", name="console_preview", openapi_extra=seen_by(*WRITE))
async def show_rows(
    request: Request, context: Context, pipeline_id: str, node: Annotated[str, Query(max_length=300)]
) -> Response:
    """The first rows that a node would pass on, and the errors among them."""
    body = validated(PreviewRequest, {"parameters": _parameters(request), "node": node, "limit": _ROWS})
    found = _json(await plans.preview_rows(context, request, pipeline_id, body))
    shown = next((each for each in found["nodes"] if each["node"] == node), None)
    return plain(fragment("plan_rows.html", node=shown, limit=_ROWS))


def _parameters(request: Request) -> dict[str, str]:
    given = request.query_params.items()
    return {name.removeprefix(_FIELD): value for name, value in given if name.startswith(_FIELD)}


def _json(response: Response) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(response.body))
    return found
