"""`/replications/{id}/edit`: a replication's document as text, with its problems and its plan, and saving it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Form, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from headrace.api.console.document_problems import (
    Checked,
    Text,
    refuse_unstorable,
    shown,
    too_long_to_check,
    unreadable,
)
from headrace.api.console.document_text import Language, TypedDocument, typed, written
from headrace.api.console.guard import asked_by, done_by, pages, plain, see_other, seen_by
from headrace.api.console.pipeline import validated
from headrace.api.console.pipeline_document import side_by_side
from headrace.api.console.rendering import fragment, render
from headrace.api.context import Context, RequestContext
from headrace.api.errors import ApiError, answer_of
from headrace.api.replications import planning, service
from headrace.api.replications.schemas import PlanReplication, ReplicationItem, UpdateReplication
from headrace.api.requests.auth import WRITE
from headrace.catalog.errors import Conflict, Invalid
from headrace.ir.diff import ir_diff
from headrace.ir.document import without_editor_keys

router = pages()


@router.get("/replications/{replication_id}/edit", name="console_edit_replication", openapi_extra=seen_by(*WRITE))
def show_editor(
    request: Request,
    context: Context,
    replication_id: str,
    language: Annotated[Language, Query(alias="as")] = "yaml",
) -> Response:
    """The stored document as text."""
    found = service.get_replication(context, replication_id)
    return _page(request, found, text=written(found.document, language))


@router.post(
    "/replications/{replication_id}/edit",
    name="console_save_replication",
    openapi_extra=done_by(*WRITE, action="update_replication"),
)
def save(
    request: Request,
    context: Context,
    replication_id: str,
    based_on: Annotated[int, Form(ge=0, le=2**31 - 1)],
    text: Text = "",
) -> Response:
    """Saves the text. What is refused is shown beside the text, which stays as it was typed."""
    given = typed(text)
    if given.document is None:
        found = service.get_replication(context, replication_id)
        return _page(request, found, text=given.text, based_on=based_on, status=400, problem=given.reason)
    try:
        refuse_unstorable(given.document)
        body = validated(UpdateReplication, {"id": replication_id, "document": given.document})
        service.update_replication(context, body, expected=based_on)
    except (ApiError, Conflict, Invalid) as error:
        status, message, _ = answer_of(error)
        if status == 404 or status >= 500:
            raise
        found = service.get_replication(context, replication_id)
        newer = found.version != based_on
        lines = list(side_by_side(written(found.document), written(given.document))) if newer else None
        return _page(
            request, found, text=given.text, based_on=based_on, status=status, problem=message, newer=newer, lines=lines
        )
    return see_other(f"/replications/{replication_id}")


@router.post(
    "/replications/{replication_id}/edit/problems",
    name="console_check_replication",
    openapi_extra=asked_by(*WRITE),
)
def check(context: Context, replication_id: str, text: Text = "", now: Annotated[bool, Form()] = False) -> Response:
    """The problems of the text, and what it would change."""
    found = service.get_replication(context, replication_id)
    checked = None if too_long_to_check(text, now=now) else _checked(context, typed(text), found)
    place = f"/replications/{replication_id}/edit/problems"
    return plain(fragment("document_problems.html", checked=checked, place=place, against="stored document"))


@router.post(
    "/replications/{replication_id}/edit/difference",
    name="console_compare_replication",
    openapi_extra=asked_by(*WRITE),
)
def compare(context: Context, replication_id: str, text: Text = "") -> Response:
    """The text beside the stored document, line by line."""
    found = service.get_replication(context, replication_id)
    given = typed(text)
    after = written(given.document) if given.document is not None else given.text
    return plain(fragment("document_difference.html", lines=list(side_by_side(written(found.document), after))))


@router.post(
    "/replications/{replication_id}/edit/plan", name="console_plan_replication_text", openapi_extra=asked_by(*WRITE)
)
async def show_plan(request: Request, context: Context, replication_id: str, text: Text = "") -> Response:
    """What a run would do with each table if the text was saved. Nothing is changed."""
    await run_in_threadpool(service.get_replication, context, replication_id)
    given = await run_in_threadpool(typed, text)
    if given.document is None:
        raise ApiError(400, given.reason)
    refuse_unstorable(given.document)
    body = validated(PlanReplication, {"document": given.document})
    return plain(fragment("replication_plan.html", plan=await planning.plan(context, request, replication_id, body)))


def _checked(context: RequestContext, given: TypedDocument, found: ReplicationItem) -> Checked:
    if (fault := unreadable(given)) is not None:
        return fault
    assert given.document is not None
    problems = service.document_problems(context, found.id, given.document)
    changes = None if problems else ir_diff(found.document, without_editor_keys(given.document)).changes
    return Checked(shown(given, [("bad", problems)]), changes)


def _page(
    request: Request,
    found: ReplicationItem,
    *,
    text: str,
    status: int = 200,
    based_on: int | None = None,
    **more: Any,
) -> Response:
    defaults: dict[str, Any] = {"problem": "", "newer": False, "lines": None}
    return render(
        request,
        "replication_edit.html",
        status_code=status,
        title=f"Edit {found.name}",
        replication=found,
        text=text,
        based_on=found.version if based_on is None else based_on,
        **{**defaults, **more},
    )
