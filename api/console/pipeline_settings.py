"""The tab of a pipeline's settings: name, description, schedule, and how runs are executed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Form, Request, Response

from headrace.api.console.guard import done_by, pages, see_other, seen_by
from headrace.api.console.pipeline import head_of, validated
from headrace.api.console.rendering import render
from headrace.api.context import Context
from headrace.api.pipelines.history import history
from headrace.api.pipelines.schemas import UpdatePipeline
from headrace.api.pipelines.service import get_pipeline, update_pipeline
from headrace.api.requests.auth import READ, WRITE

router = pages()

_Number = Annotated[str, Form(max_length=20)]


@router.get("/pipelines/{pipeline_id}/settings", name="console_settings", openapi_extra=seen_by(*READ))
def show_settings(request: Request, context: Context, pipeline_id: str) -> Response:
    """The form; whoever may not change anything sees the values."""
    found = history(context, pipeline_id, runs=0)
    return render(request, "pipeline_settings.html", **head_of(found, "settings"))


@router.post(
    "/pipelines/{pipeline_id}/settings",
    name="console_save_settings",
    openapi_extra=done_by(*WRITE, action="update_pipeline"),
)
def save_settings(
    context: Context,
    pipeline_id: str,
    name: Annotated[str, Form(max_length=1000)],
    description: Annotated[str, Form(max_length=10_000)] = "",
    schedule: Annotated[str | None, Form(max_length=1000)] = None,
    batch_size: _Number = "",
    parallelism: _Number = "",
) -> Response:
    """Saves the form. Settings that it does not have stay as they are."""
    before = get_pipeline(context, pipeline_id)
    execution: dict[str, Any] = dict(before.execution_config)
    for key, value in (("batchSize", batch_size), ("parallelism", parallelism)):
        if value.strip():
            execution[key] = value.strip()
        else:
            execution.pop(key, None)
    changes: dict[str, Any] = {
        "id": pipeline_id,
        "name": name,
        "description": description.strip() or None,
        "executionConfig": execution,
    }
    if schedule is not None:
        changes["schedule"] = schedule.strip() or None
    update_pipeline(context, validated(UpdatePipeline, changes))
    return see_other(f"/pipelines/{pipeline_id}/settings")
