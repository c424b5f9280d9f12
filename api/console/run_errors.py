"""`/runs/{id}/errors`: which rules rejected which rows, from the groups down to the whole row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import Depends, Query, Request, Response

from headrace.api.console.guard import pages, plain, seen_by
from headrace.api.console.quarantine import quarantining
from headrace.api.console.rendering import fragment, render
from headrace.api.context import Context
from headrace.api.dlq.service import read_row
from headrace.api.requests.auth import READ
from headrace.api.runs.csv_export import errors_as_csv
from headrace.api.runs.error_groups import error_groups, error_page
from headrace.api.runs.report import read_report
from headrace.api.runs.service import pipeline_of
from headrace.catalog.repositories.runs import ErrorFilter

router = pages()

PAGE = 50
_Text = Annotated[str | None, Query(max_length=300)]


def _chosen(
    node: _Text = None,
    rule: _Text = None,
    column: _Text = None,
    kind: Literal["", "failed", "warned"] = "",
    file: Annotated[str | None, Query(max_length=4096)] = None,
) -> ErrorFilter:
    return ErrorFilter(node or None, rule or None, column, kind or None, file or None)


Chosen = Annotated[ErrorFilter, Depends(_chosen)]


@router.get("/runs/{run_id}/errors", name="console_errors", openapi_extra=seen_by(*READ))
def show_errors(
    request: Request,
    context: Context,
    run_id: str,
    only: Chosen,
    cursor: Annotated[str | None, Query(max_length=2000)] = None,
) -> Response:
    """The page: the groups are loaded after it, as counting them can take a second."""
    report = read_report(context, run_id)
    run = report.run
    errors, following = error_page(context, run.pipeline_id, run_id, only, limit=PAGE, cursor=cursor or None)
    return render(
        request,
        "run_errors.html",
        title="Errors of a run",
        run=run,
        name=report.pipeline_name,
        keeping=quarantining(report.ir),
        errors=errors,
        only=only,
        filters=[(key, value) for key, value in _given(only).items()],
        query=urlencode(_given(only)),
        without={key: _query(only, key) for key in _given(only)},
        next_query=None if following is None else urlencode({**_given(only), "cursor": following}),
        first=not cursor,
    )


@router.get("/runs/{run_id}/errors/groups", name="console_error_groups", openapi_extra=seen_by(*READ))
def show_groups(context: Context, run_id: str, only: Chosen) -> Response:
    """The table of the groups."""
    found = error_groups(context, pipeline_of(context, run_id), run_id, only)
    links = [
        urlencode({"node": each.node, "rule": each.rule, "column": each.column, "kind": _kind(warned=each.warned)})
        for each in found.groups
    ]
    return plain(fragment("error_groups.html", run_id=run_id, found=found, links=links))


@router.get("/runs/{run_id}/errors/row", name="console_error_row", openapi_extra=seen_by(*READ))
def show_row(
    context: Context,
    run_id: str,
    node: Annotated[str, Query(max_length=300)],
    row: Annotated[int, Query(ge=-(2**63), lt=2**63)],
    column: _Text = None,
) -> Response:
    """The whole row of an error, from the quarantine."""
    found = read_row(context, run_id, pipeline_of(context, run_id), node, row)
    return plain(fragment("error_row.html", found=found, column=column))


@router.get("/runs/{run_id}/errors.csv", name="console_errors_csv", openapi_extra=seen_by(*READ))
def download_errors(context: Context, run_id: str, only: Chosen) -> Response:
    """The errors that match as CSV, with all details."""
    return errors_as_csv(context, pipeline_of(context, run_id), run_id, only, details=True)


def _kind(*, warned: bool) -> str:
    return "warned" if warned else "failed"


def _given(only: ErrorFilter) -> Mapping[str, Any]:
    return {key: value for key, value in asdict(only).items() if value is not None}


def _query(only: ErrorFilter, key: str) -> str:
    return urlencode({name: value for name, value in _given(only).items() if name != key})
