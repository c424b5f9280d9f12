"""`headrace connectors`: lists connectors, tests their connections, and shows what they can be read for."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from headrace.deployments.cli import connector_documents, stored_documents
from headrace.deployments.cli.options import ApiKey, DataDir, Json, Url, connect
from headrace.deployments.cli.output import cell, emit, grid, note, out, say, show
from headrace.deployments.cli.rest import Rest
from headrace.deployments.errors import HeadraceError
from headrace.deployments.stack.layout import DEFAULT_DATA_DIR
from headrace.ir.problems import nearest

connectors = typer.Typer(no_args_is_help=True, help="List connectors, test them, and list their streams.")

connectors.command("new")(connector_documents.new)
connectors.command("validate")(connector_documents.validate)
connectors.command("build")(connector_documents.build)
connectors.command("try")(connector_documents.try_document)
connectors.command("push")(stored_documents.push)
connectors.command("documents")(stored_documents.documents)
connectors.command("shipped")(stored_documents.show_shipped)
connectors.command("versions")(stored_documents.versions)
connectors.command("diff")(stored_documents.diff)
connectors.command("publish")(stored_documents.publish)

_COLUMNS = ("name", "type", "id", "status", "lastTestedAt")
_SAMPLE_CHARACTERS = 200
_STREAM_COLUMNS = ("name", "kind", "format", "size", "rows", "comment")


@connectors.command("list")
def list_connectors(
    url: Url = None, api_key: ApiKey = None, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False
) -> None:
    """List the connectors of the tenant, without their credentials."""
    with connect(url, api_key, data_dir) as rest:
        found = rest.all("/connectors")
    if as_json:
        emit(found)
        return
    table = grid(*_COLUMNS)
    for each in found:
        table.add_row(*(cell(each.get(name)) for name in _COLUMNS))
    show(table)


@connectors.command("test")
def try_connector(
    name: Annotated[str, typer.Argument(help="The connector's name or id.")],
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Connect as a run would, and show some of what is there; nothing is changed. Exit code 1 when it fails."""
    with connect(url, api_key, data_dir) as rest:
        found = rest.post(f"/connectors/{_find(rest, name)['id']}/test")
    if as_json:
        emit(found)
    elif found["ok"]:
        say(f"{found['message']} ({found['latencyMs']} ms)")
        for title, items in (found["sample"] or {}).items():
            for each in items if isinstance(items, list) else [items]:
                shown = each.get("name", each) if isinstance(each, dict) else each
                out.print(f"  [dim]{escape(title)}[/dim] {escape(_cut(str(shown)))}")
    if not found["ok"]:
        raise HeadraceError(f"'{name}' does not connect: {found['message']}")


@connectors.command("discover")
def discover(
    name: Annotated[str, typer.Argument(help="The connector's name or id.")],
    text: Annotated[
        str, typer.Option("--filter", help="A part of the name; of files, FOLDER/PART looks into a folder.")
    ] = "",
    columns: Annotated[
        str | None, typer.Option("--columns", help="Show the columns of this table, view or file.", metavar="NAME")
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Show what a connector can be read for: tables, views, files, folders; nothing is changed."""
    with connect(url, api_key, data_dir) as rest:
        path = f"/connectors/{_find(rest, name)['id']}"
        if columns is None:
            found: Any = rest.all(f"{path}/streams", filter=text or None)
        else:
            found = rest.get(f"{path}/stream", name=columns)
    if as_json:
        emit(found)
    elif columns is not None:
        _show_columns(found)
    else:
        table = grid(*_STREAM_COLUMNS)
        for each in found:
            table.add_row(*(cell(each[column]) for column in _STREAM_COLUMNS))
        show(table)


def _cut(text: str) -> str:
    """A sample on about two lines of a terminal: a record of an API may have any length."""
    return text if len(text) <= _SAMPLE_CHARACTERS else f"{text[:_SAMPLE_CHARACTERS]}…"


def _show_columns(found: dict[str, Any]) -> None:
    rows = "" if found["rows"] is None else f", {found['rows']:,} rows"
    say(f"{found['name']}: {found['kind']}{rows}")
    if found["comment"]:
        note(found["comment"])
    table = grid("column", "type", "key")
    for field in found["fields"]:
        size = [str(field[part]) for part in ("precision", "scale") if field[part] is not None]
        kind = field["dataType"] + (f"({', '.join(size)})" if size else "")
        table.add_row(cell(field["name"]), kind, "key" if field["name"] in found["key"] else "")
    show(table)


def _find(rest: Rest, name: str) -> dict[str, Any]:
    found = rest.all("/connectors")
    for each in found:
        if name in (each["name"], each["id"]):
            return each
    names = [str(each["name"]) for each in found]
    hint = nearest(name, names) if names else "There are no connectors yet: `headrace apply -f` makes some."
    raise HeadraceError(f"There is no connector '{name}'.", hint)
