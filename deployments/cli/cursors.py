"""`headrace cursors`: how far a pipeline has read its sources."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from headrace.deployments.cli.options import ApiKey, DataDir, Json, Pipeline, Url, connect
from headrace.deployments.cli.output import cell, emit, grid, note, show
from headrace.deployments.cli.rest import find_pipeline
from headrace.deployments.errors import HeadraceError
from headrace.deployments.stack.layout import DEFAULT_DATA_DIR

_COLUMNS = ("source", "cursor", "target", "position", "moved by", "at")


def cursors(
    pipeline: Pipeline,
    reset: Annotated[bool, typer.Option("--reset", help="Forget them: the next run reads everything.")] = False,
    source: Annotated[str | None, typer.Option(help="With --reset: only those of this source node.")] = None,
    to: Annotated[
        str | None, typer.Option("--set", metavar="SOURCE=JSON", help="Set the cursor of a source to this position.")
    ] = None,
    cursor: Annotated[str | None, typer.Option(help="The cursor, of a source that has several.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Show how far a pipeline has read its sources, set that, or reset it. Refused while a run has not ended."""
    body = _change(reset, source, to, cursor)
    with connect(url, api_key, data_dir) as rest:
        path = f"/pipelines/{find_pipeline(rest, pipeline)['id']}/cursors"
        found = (rest.get(path) if body is None else rest.post(path, body))["data"]
    if as_json:
        emit(found)
        return
    if not found:
        note("no cursor: the next run reads everything")
        return
    table = grid(*_COLUMNS)
    for each in found:
        texts = (each["source"], each["cursor"], each["target"], json.dumps(each["position"], ensure_ascii=False))
        table.add_row(*map(cell, (*texts, each["runId"] or each["setBy"], each["updatedAt"])))
    show(table)


def _change(reset: bool, source: str | None, to: str | None, cursor: str | None) -> dict[str, Any] | None:
    """The body of the request; None when nothing is to be changed. Raises HeadraceError."""
    named = {} if cursor is None else {"cursor": cursor}
    if to is None:
        if not reset and (source is not None or cursor is not None):
            raise HeadraceError("--source and --cursor need --reset or --set.")
        return {"reset": True, **({"source": source} if source else {}), **named} if reset else None
    if reset or source is not None:
        raise HeadraceError("Give either --set or --reset.", "The source is named in --set: SOURCE=JSON.")
    name, equals, text = to.partition("=")
    try:
        position = json.loads(text)
    except ValueError:
        position = None
    if not equals or not name or position is None:
        hint = """For example --set 'src={"id": 120000}', in the form that `headrace cursors` shows."""
        raise HeadraceError(f"'{to}' is not SOURCE=JSON.", hint)
    return {"source": name, "position": position, **named}
