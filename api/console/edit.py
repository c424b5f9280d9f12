"""`/pipelines/{id}/edit`: a pipeline's document as text, with its problems while it is typed, and saving it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Form, Query, Request, Response

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
from headrace.api.console.pipeline import head_of, validated
from headrace.api.console.pipeline_document import side_by_side
from headrace.api.console.rendering import fragment, render
from headrace.api.context import Context, RequestContext
from headrace.api.errors import ApiError, Detail, answer_of
from headrace.api.ir import service as documents
from headrace.api.ir.schemas import SaveIr, Validation, VersionNumber
from headrace.api.pipelines.history import PipelineHistory, history
from headrace.api.requests.auth import READ, WRITE
from headrace.catalog.errors import Conflict, Invalid
from headrace.ir import parse_ir
from headrace.ir.diff import ir_diff
from headrace.ir.document import without_editor_keys

router = pages()


@router.get("/pipelines/{pipeline_id}/edit", name="console_edit", openapi_extra=seen_by(*READ))
def show_editor(
    request: Request,
    context: Context,
    pipeline_id: str,
    version: Annotated[VersionNumber | None, Query()] = None,
    language: Annotated[Language, Query(alias="as")] = "yaml",
) -> Response:
    """The newest version as text, or the given one."""
    found = history(context, pipeline_id, runs=0)
    if version is not None or found.newest_version:
        document = documents.get_ir(context, pipeline_id, version, live=False).ir
    else:
        document = dict(found.document)
    return _page(request, found, text=written(document, language) if document else "", version=version)


@router.post(
    "/pipelines/{pipeline_id}/edit", name="console_save_document", openapi_extra=done_by(*WRITE, action="save_ir")
)
def save(
    request: Request,
    context: Context,
    pipeline_id: str,
    based_on: Annotated[int, Form(ge=0, le=2**31 - 1)],
    text: Text = "",
    comment: Annotated[str, Form(max_length=2000)] = "",
    publish: Annotated[bool, Form()] = False,
    confirm: Annotated[bool, Form()] = False,
) -> Response:
    """Saves the text as the next version. What is refused is shown beside the text, which stays as it was typed."""
    found = history(context, pipeline_id, runs=0)
    given = typed(text)
    if given.document is None:
        problem = given.reason
        return _page(request, found, text=given.text, comment=comment, based_on=based_on, status=400, problem=problem)
    try:
        body = validated(SaveIr, {"ir": given.document, "comment": comment.strip() or None})
        refuse_unstorable(given.document)
        saved, _ = documents.save_ir(context, pipeline_id, body, publish=publish, expected=based_on, confirm=confirm)
    except (ApiError, Conflict, Invalid) as error:
        status, message, _ = answer_of(error)
        if status == 404 or status >= 500:
            raise
        newest = found.newest_version
        theirs = None
        if newest not in (based_on, 0):
            theirs = documents.get_ir(context, pipeline_id, newest, live=False)
        asks = status == 400 and not confirm and _only_asks(context, pipeline_id, given)
        return _page(
            request, found, text=given.text, comment=comment, based_on=based_on, status=status,
            problem=message, asks=asks, publish=publish, theirs=theirs,
            lines=list(side_by_side(written(theirs.ir), written(given.document))) if theirs is not None else None,
        )  # fmt: skip
    return see_other(f"/pipelines/{pipeline_id}/edit?saved={saved.version}")


@router.post("/pipelines/{pipeline_id}/edit/problems", name="console_check_document", openapi_extra=asked_by(*WRITE))
def check(context: Context, pipeline_id: str, text: Text = "", now: Annotated[bool, Form()] = False) -> Response:
    """The problems of the text, and what it would change."""
    found = history(context, pipeline_id, runs=0)
    checked = None if too_long_to_check(text, now=now) else checked_text(context, typed(text), found)
    return plain(fragment("document_problems.html", checked=checked, place=f"/pipelines/{pipeline_id}/edit/problems"))


@router.post(
    "/pipelines/{pipeline_id}/edit/difference", name="console_compare_document", openapi_extra=asked_by(*WRITE)
)
def compare(context: Context, pipeline_id: str, text: Text = "") -> Response:
    """The text beside the live version, line by line."""
    found = history(context, pipeline_id, runs=0)
    given = typed(text)
    after = written(given.document) if given.document is not None else given.text
    lines = list(side_by_side(written(found.document) if found.document else "", after))
    return plain(fragment("document_difference.html", lines=lines))


def checked_text(context: RequestContext, given: TypedDocument, found: PipelineHistory | None) -> Checked:
    """Everything that is known of a text before it is saved, as `/ir/validate` and `/ir/check` say it: as a version of
    a pipeline, or by itself."""
    if (fault := unreadable(given)) is not None:
        return fault
    assert given.document is not None
    pipeline_id = found.detail.id if found is not None else None
    validation: Validation = documents.validate(context, given.document, pipeline_id)
    groups: list[tuple[str, list[Detail]]] = [("bad", validation.issues), ("amber", validation.warnings)]
    changes = None
    if found is not None:
        checks = documents.check(context, found.detail.id, SaveIr(ir=given.document))
        known = {(each.path, each.code) for _, some in groups for each in some}
        groups.append(("amber", [each for each in checks.issues if (each.path, each.code) not in known]))
        groups.append(("asks", checks.losses))
        if found.document and parse_ir(given.document).ir is not None and parse_ir(found.document).ir is not None:
            changes = ir_diff(found.document, without_editor_keys(given.document)).changes
    columns = {
        name: [f"{each.name} {each.data_type}" for each in node.schema_] for name, node in validation.nodes.items()
    }
    return Checked(shown(given, groups), changes, columns)


def _only_asks(context: RequestContext, pipeline_id: str, given: TypedDocument) -> bool:
    """Whether a document that was refused would be saved with a confirmation."""
    assert given.document is not None
    validation = documents.validate(context, given.document, None)
    return not validation.issues


def _page(
    request: Request,
    found: PipelineHistory,
    *,
    text: str,
    status: int = 200,
    comment: str = "",
    based_on: int | None = None,
    version: int | None = None,
    **more: Any,
) -> Response:
    defaults: dict[str, Any] = {"problem": "", "asks": False, "publish": True, "theirs": None, "lines": None}
    saved = request.query_params.get("saved", "")
    return render(
        request,
        "edit.html",
        status_code=status,
        **head_of(found, "edit"),
        text=text,
        comment=comment,
        based_on=found.newest_version if based_on is None else based_on,
        version=version,
        saved=int(saved) if saved.isascii() and saved.isdigit() and int(saved[:9]) <= found.newest_version else None,
        **{**defaults, **more},
    )
