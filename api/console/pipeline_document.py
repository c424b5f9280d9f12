"""The tabs of a pipeline's document: its graph, its versions and their differences, and the lineage of columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Annotated

from fastapi import Form, Query, Request, Response

from headrace.api.console.document_text import written
from headrace.api.console.graph import graph_of
from headrace.api.console.guard import done_by, pages, see_other, seen_by
from headrace.api.console.lineage_graph import MAX_COLUMNS, drawn
from headrace.api.console.pipeline import head_of
from headrace.api.console.rendering import render
from headrace.api.context import Context
from headrace.api.errors import ApiError
from headrace.api.ir import service as documents
from headrace.api.ir.lineage import get_lineage
from headrace.api.ir.schemas import VersionNumber
from headrace.api.pipelines.history import history
from headrace.api.requests.auth import READ, WRITE
from headrace.ir import parse_ir

router = pages()

_Version = Annotated[VersionNumber | None, Query()]
_MAX_LINES = 4000
"""Lines of a document that are compared; longer ones are only shown."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of two documents side by side; None where one has no such line."""

    kind: str
    before: tuple[int, str] | None
    after: tuple[int, str] | None


@router.get("/pipelines/{pipeline_id}/graph", name="console_graph", openapi_extra=seen_by(*READ))
def show_graph(request: Request, context: Context, pipeline_id: str) -> Response:
    """The live document as a graph, and as YAML."""
    found = history(context, pipeline_id, runs=0)
    parsed = parse_ir(found.document)
    return render(
        request,
        "pipeline_graph.html",
        **head_of(found, "graph"),
        graph=graph_of(parsed.ir) if parsed.ir is not None else None,
        text=written(found.document) if found.document else "",
    )


@router.get("/pipelines/{pipeline_id}/versions", name="console_versions", openapi_extra=seen_by(*READ))
def show_versions(
    request: Request,
    context: Context,
    pipeline_id: str,
    version: _Version = None,
    before: Annotated[VersionNumber | None, Query(alias="from")] = None,
    after: Annotated[VersionNumber | None, Query(alias="to")] = None,
) -> Response:
    """The versions; with `from` and `to` their difference, with `version` one of them."""
    found = history(context, pipeline_id, runs=0)
    versions = documents.list_versions(context, pipeline_id)
    difference = lines = shown = None
    if before is not None and after is not None:
        difference = documents.compare(context, pipeline_id, before, after)
        texts = [written(documents.get_ir(context, pipeline_id, each, live=False).ir) for each in (before, after)]
        lines = list(side_by_side(*texts))
    elif version is not None:
        shown = written(documents.get_ir(context, pipeline_id, version, live=False).ir)
    return render(
        request,
        "pipeline_versions.html",
        **head_of(found, "versions"),
        versions=versions,
        difference=difference,
        lines=lines,
        shown=shown,
        version=version,
        before=before,
        after=after,
    )


@router.post(
    "/pipelines/{pipeline_id}/publish", name="console_publish", openapi_extra=done_by(*WRITE, action="publish_ir")
)
def publish(
    request: Request,
    context: Context,
    pipeline_id: str,
    version: Annotated[VersionNumber, Form()],
    confirm: Annotated[bool, Form()] = False,
) -> Response:
    """Makes a version live. What could lose or double rows is asked for once more."""
    try:
        documents.publish(context, pipeline_id, version, confirm=confirm)
    except ApiError as error:
        if error.status_code != 400 or confirm or not error.details:
            raise
        return render(
            request,
            "confirm_publish.html",
            status_code=400,
            title="Publish this version?",
            pipeline_id=pipeline_id,
            version=version,
            problems=error.details,
        )
    return see_other(f"/pipelines/{pipeline_id}/versions")


@router.get("/pipelines/{pipeline_id}/lineage", name="console_lineage", openapi_extra=seen_by(*READ))
def show_lineage(request: Request, context: Context, pipeline_id: str) -> Response:
    """The source columns of each target column of the live version."""
    found = history(context, pipeline_id, runs=0)
    native = found.live_version is not None and found.live_version > 0
    lineage = get_lineage(context, pipeline_id, found.live_version) if native else None
    return render(
        request,
        "pipeline_lineage.html",
        **head_of(found, "lineage"),
        lineage=lineage,
        graph=drawn(lineage) if lineage is not None else None,
        most=MAX_COLUMNS,
        said="Choose a column to see where it comes from, or where it goes. A broken line decides which rows arrive.",
    )


def side_by_side(before: str, after: str) -> Iterator[Line]:
    """The lines of two texts beside each other, those that are equal with three around each change."""
    old, new = before.splitlines()[:_MAX_LINES], after.splitlines()[:_MAX_LINES]
    for group in SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(3):
        yield Line("gap", None, None)
        for kind, first, end, new_first, new_end in group:
            for step in range(max(end - first, new_end - new_first)):
                left = (first + step + 1, old[first + step]) if first + step < end else None
                right = (new_first + step + 1, new[new_first + step]) if new_first + step < new_end else None
                yield Line(kind, left, right)
