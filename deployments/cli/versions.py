"""`headrace versions`, `diff`, `publish`, `pause` and `resume`: the live version and the schedule of a pipeline."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.deployments.cli.options import ApiKey, DataDir, Json, Pipeline, Url, connect
from headrace.deployments.cli.output import cell, emit, grid, note, say, show
from headrace.deployments.cli.rest import find_pipeline
from headrace.deployments.errors import HeadraceError
from headrace.deployments.stack.layout import DEFAULT_DATA_DIR

Version = Annotated[int, typer.Argument(min=1, help="A version's number, as `headrace versions` lists it.")]


def versions(
    pipeline: Pipeline,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """List the versions of a pipeline's IR, the newest first; schedules and runs use the live one."""
    with connect(url, api_key, data_dir) as rest:
        path = f"/pipelines/{find_pipeline(rest, pipeline)['id']}/ir"
        found = rest.get(f"{path}/versions")
        live = rest.get(path, live="true")["version"] if found else None
    listed = [{**each, "live": each["version"] == live} for each in found]
    if as_json:
        emit(listed)
        return
    if not listed:
        note("the pipeline has legacy nodes and edges, and no version of an IR")
    table = grid("version", "live", "createdAt", "authoredBy", "comment")
    for each in listed:
        table.add_row(
            str(each["version"]),
            "live" if each["live"] else "",
            *(cell(each[name]) for name in ("createdAt", "authoredBy", "comment")),
        )
    show(table)


def diff(
    pipeline: Pipeline,
    before: Annotated[int | None, typer.Argument(min=1, help="The older version; the one before unless given.")] = None,
    after: Annotated[int | None, typer.Argument(min=1, help="The newer version; the newest unless given.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Show what changed between two versions of a pipeline's IR, node by node; --json has an RFC 6902 patch."""
    with connect(url, api_key, data_dir) as rest:
        path = f"/pipelines/{find_pipeline(rest, pipeline)['id']}/ir"
        newest = after or rest.get(path)["version"]
        if before is None and newest == 1:
            raise HeadraceError("There is only one version.", "`headrace versions` lists them.")
        found = rest.get(f"{path}/diff", **{"from": before or newest - 1, "to": newest})
    if as_json:
        emit(found)
        return
    if not found["summary"]:
        say("nothing changed")
    for each in found["summary"]:
        say(f"{each['node'] or 'document'} {each['change']}")
        for detail in each["details"]:
            say(f"    {detail}")


def publish(
    pipeline: Pipeline,
    version: Version,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Also a change of load mode that could lose or double rows.")
    ] = False,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Make a version the one that schedules and runs use; an older one rolls back."""
    with connect(url, api_key, data_dir) as rest:
        path = f"/pipelines/{find_pipeline(rest, pipeline)['id']}/ir/publish"
        found = rest.post(path, {"version": version}, confirm="true" if confirm else None)
    if as_json:
        emit(found)
    else:
        say(f"version {found['version']} is live")


def pause(
    pipeline: Pipeline,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Stop a pipeline's schedule from firing; `headrace run` still runs it."""
    _set_status(pipeline, "paused", url, api_key, data_dir, as_json=as_json)


def resume(
    pipeline: Pipeline,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Let a paused pipeline's schedule fire again."""
    _set_status(pipeline, "active", url, api_key, data_dir, as_json=as_json)


def _set_status(
    pipeline: Pipeline, status: str, url: Url, api_key: ApiKey, data_dir: DataDir, *, as_json: bool
) -> None:
    with connect(url, api_key, data_dir) as rest:
        found = rest.put("/pipelines", {"id": find_pipeline(rest, pipeline)["id"], "status": status})
    if as_json:
        emit(found)
    else:
        say(f"{found['name']} is {found['status']}")
