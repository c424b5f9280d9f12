"""`headrace connectors push|documents|versions|diff|publish`: connector documents on the server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from headrace.deployments.cli.connector_documents import read_checked
from headrace.deployments.cli.documents.yaml_format import write_yaml
from headrace.deployments.cli.options import ApiKey, DataDir, Json, Url, connect
from headrace.deployments.cli.output import cell, emit, grid, note, say, show
from headrace.deployments.cli.rest import ApiRefused
from headrace.deployments.errors import HeadraceError
from headrace.deployments.stack.layout import DEFAULT_DATA_DIR

DocumentId = Annotated[str, typer.Argument(help="The document's id, as `headrace connectors documents` lists it.")]
Confirm = Annotated[bool, typer.Option("--confirm", help="Also a version that breaks what follows the live one.")]
_COLUMNS = ("id", "displayName", "liveVersion", "newestVersion", "updatedAt")


def push(
    file: Annotated[Path, typer.Argument(help="The YAML file of the connector.")],
    publish: Annotated[bool, typer.Option(help="Make the version live.")] = True,
    comment: Annotated[str | None, typer.Option("--comment", help="Why it was changed.")] = None,
    confirm: Confirm = False,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Check a connector's document and save it on the server as its next version, or as a new document."""
    document = read_checked(file)
    with connect(url, api_key, data_dir) as rest:
        path = f"/yaml-connectors/{document['id']}"
        try:
            newest = rest.get(path)["version"]
        except ApiRefused as error:
            if error.status != 404:
                raise
            newest = 0
        if newest == 0:
            found = rest.post("/yaml-connectors", document, comment=comment)
        else:
            query = {"publish": "true" if publish else "false", "confirm": "true" if confirm else None}
            found = rest.put(path, document, comment=comment, **query)
    if as_json:
        emit(found)
        return
    what = "saved" if found["version"] > newest else "unchanged"
    say(f"{found['id']}: version {found['version']} {what}{', live' if found['live'] else ''}")


def documents(
    shipped: Annotated[bool, typer.Option("--shipped", help="Those that come with Headrace.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """List the connector documents of the tenant, or with `--shipped` those that come with Headrace; `headrace
    connectors list` lists the connectors."""
    with connect(url, api_key, data_dir) as rest:
        found = rest.get("/shipped-connectors")["data"] if shipped else rest.all("/yaml-connectors")
    if as_json:
        emit(found)
        return
    table = grid("id", "displayName", "endpoints") if shipped else grid(*_COLUMNS)
    for each in found:
        if shipped:
            table.add_row(each["id"], each["displayName"], ", ".join(each["endpoints"]))
        else:
            table.add_row(*(cell(each[name]) for name in _COLUMNS))
    show(table)
    if not shipped:
        note("`--shipped` lists those that come with Headrace.")


def show_shipped(
    document: DocumentId,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Print a connector document that comes with Headrace, to be changed and pushed."""
    with connect(url, api_key, data_dir) as rest:
        found = rest.get(f"/shipped-connectors/{document}")
    if as_json:
        emit(found)
    else:
        typer.echo(write_yaml(found["document"]), nl=False)


def versions(
    document: DocumentId,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """List the versions of a connector document, the newest first."""
    with connect(url, api_key, data_dir) as rest:
        found = rest.get(f"/yaml-connectors/{document}/versions")
    if as_json:
        emit(found)
        return
    table = grid("version", "live", "createdAt", "authoredBy", "comment")
    for each in found:
        facts = (cell(each[name]) for name in ("createdAt", "authoredBy", "comment"))
        table.add_row(str(each["version"]), "live" if each["live"] else "", *facts)
    show(table)


def diff(
    document: DocumentId,
    before: Annotated[int | None, typer.Argument(min=1, help="The older version; the one before unless given.")] = None,
    after: Annotated[int | None, typer.Argument(min=1, help="The newer version; the newest unless given.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Show what changed between two versions of a connector document; --json has an RFC 6902 patch."""
    with connect(url, api_key, data_dir) as rest:
        path = f"/yaml-connectors/{document}"
        newest = after or rest.get(path)["version"]
        if before is None and newest == 1:
            raise HeadraceError("There is only one version.", "`headrace connectors versions` lists them.")
        found = rest.get(f"{path}/diff", **{"from": before or newest - 1, "to": newest})
    if as_json:
        emit(found)
        return
    if not found["patch"]:
        say("nothing changed")
    for each in found["patch"]:
        say(_line(each))


def publish(
    document: DocumentId,
    version: Annotated[int, typer.Argument(min=1, help="A version's number.")],
    confirm: Confirm = False,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Make a version the one that is read where none is named; an older one rolls back."""
    with connect(url, api_key, data_dir) as rest:
        path = f"/yaml-connectors/{document}/publish"
        found = rest.post(path, {"version": version}, confirm="true" if confirm else None)
    if as_json:
        emit(found)
    else:
        say(f"version {found['version']} is live")


def _line(change: dict[str, Any]) -> str:
    value = json.dumps(change["value"], ensure_ascii=False) if "value" in change else change.get("from", "")
    return f"{change['op']} {change['path']} {value}".rstrip()
