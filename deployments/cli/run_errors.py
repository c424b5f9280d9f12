"""`headrace errors`: the rejected cells of a run."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from headrace.deployments.cli.options import ApiKey, DataDir, Json, Pipeline, RunId, Url, connect
from headrace.deployments.cli.output import cell, emit, grid, note, show
from headrace.deployments.cli.rest import run_path
from headrace.deployments.stack.layout import DEFAULT_DATA_DIR

_SHOWN_ERRORS = 50
_MOST_ERRORS = 1000


class _Kind(StrEnum):
    failed = "failed"
    warned = "warned"
    all = "all"


def errors(
    pipeline: Pipeline,
    run_id: RunId = None,
    limit: Annotated[int, typer.Option(min=1, max=_MOST_ERRORS, help="At most so many.")] = _SHOWN_ERRORS,
    csv: Annotated[bool, typer.Option("--csv", help="All of them as CSV on stdout.")] = False,
    summary: Annotated[bool, typer.Option("--summary", help="How many, by node, rule, column and file.")] = False,
    kind: Annotated[
        _Kind, typer.Option(help="Rows that failed, rows that went on with a warning, or both.")
    ] = _Kind.failed,
    node: Annotated[str | None, typer.Option(help="Only those of this node.")] = None,
    rule: Annotated[str | None, typer.Option(help="Only those of this rule.")] = None,
    column: Annotated[str | None, typer.Option(help="Only those of this column; '' for whole rows.")] = None,
    file: Annotated[str | None, typer.Option(help="Only those of rows from this file.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Show the cells a run rejected: where each row comes from, column, value and reason; and why the run failed, when
    it did."""
    meant = {"node": node, "rule": rule, "column": column, "kind": kind.value, "file": file}
    with connect(url, api_key, data_dir) as rest:
        path = run_path(rest, pipeline, run_id)
        if csv:
            asked = urlencode({name: value for name, value in meant.items() if value is not None})
            with rest.lines(f"{path}/errors?{asked}", "text/csv") as texts:
                for text in texts:
                    sys.stdout.write(text)
            return
        found = (
            rest.get(f"{path}/errors/summary", **meant) if summary else rest.get(f"{path}/errors", limit=limit, **meant)
        )
        run = rest.get(path)
    if as_json:
        emit(found)
        return
    if run["failureReason"] is not None:
        note(f"the run failed: {run['failureReason']}")
    if summary:
        _show_totals(found)
    else:
        _show_errors(found, kind)


def _show_errors(found: dict[str, Any], kind: _Kind) -> None:
    if found["total"]:
        several = kind is _Kind.all
        table = grid("source", "row", "node", "rule", "column", "value", "error", *(["kind"] * several))
        for each in found["errors"]:
            names = ("node", "rule", "column", "value", "error", *(["kind"] * several))
            table.add_row(*_place(each), *(cell(each[name]) for name in names))
        show(table)
    else:
        note(
            {"failed": "no row was rejected", "warned": "no row went on with a warning"}.get(
                kind, "no row broke a rule"
            )
        )
    if found["total"] > len(found["errors"]):
        note(f"{len(found['errors'])} of {found['total']:,}; --csv gives all, --summary how many of each")
    if kind is _Kind.failed and found.get("warned"):
        note(f"{found['warned']:,} warnings besides, of rows that were loaded: --kind warned")


def _show_totals(found: dict[str, Any]) -> None:
    columns = ("node", "rule", "kind", "column", "file", "cells", "rows", "error")
    table = grid(*columns)
    for each in found["totals"]:
        table.add_row(*(cell(each[name]) for name in columns))
    if found["totals"]:
        show(table)
    note(f"{found['failed']:,} cells of failed rows, {found['warned']:,} warnings")


def _place(error: dict[str, Any]) -> tuple[str, str]:
    """The sources of a row (file or node), and its number in each."""
    sources = error["sources"]
    names = [of.get("file") or of["node"] for of in sources]
    rows = [str(of.get("row") or "") for of in sources]
    if not sources:
        return "", cell(error["row"])
    return cell("\n".join(names)), cell("\n".join(rows))
