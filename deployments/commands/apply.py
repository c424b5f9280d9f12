"""`headrace apply` and `headrace export`: a tenant's connectors, schemas and pipelines as files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from deployments.commands.options import ApiKey, DataDir, Json, Url, connect
from deployments.commands.output import NOTEWORTHY, emit, note, out, say
from deployments.stack.errors import StackError
from deployments.stack.layout import DEFAULT_DATA_DIR

if TYPE_CHECKING:
    from deployments.commands.changes import Change

_SIGNS = {"create": ("+", "green"), "update": ("~", "yellow"), "delete": ("-", "red")}
_DONE = {"create": "created", "update": "changed", "delete": "deleted"}


def apply(
    files: Annotated[list[Path], typer.Option("--file", "-f", help="A YAML or JSON file, a folder of them, or -.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change; 3 if anything.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Also delete what earlier files of the set brought and these do not have.")
    ] = False,
    confirm: Annotated[bool, typer.Option("--confirm", help="Also make changes that lose rows or values.")] = False,
    secrets: Annotated[
        bool, typer.Option("--secrets", help="Send credentials again; whether they changed cannot be seen.")
    ] = False,
    set_name: Annotated[
        str, typer.Option("--set", help="The set the files belong to: a set prunes only what it brought.")
    ] = "default",
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Make connectors, schemas and pipelines what files say.

    Documents have a `kind` (connector, schema, pipeline) and are told apart by name; `${NAME}` in a connector's config
    and authConfig is taken from the environment. Everything is checked before anything is changed.

    Exit codes: 0 applied, or nothing to do; 1 an error; 2 wrong usage; 3 the dry run found changes.
    """
    from deployments.commands.changes import find_changes
    from deployments.commands.documents import load_documents
    from deployments.commands.perform import perform, read_owned
    from deployments.commands.tenant import Tenant

    documents = load_documents(files, os.environ)
    with connect(url, api_key, data_dir) as rest:
        tenant = Tenant(rest)
        owned = read_owned(rest, set_name)
        found = find_changes(documents, tenant, set(owned), prune=prune, resend_secrets=secrets)
        if not as_json:
            _show(found.changes)
            if found.orphans and not prune:
                names = ", ".join(f"{kind} {name}" for kind, name in found.orphans)
                note(f"not in the files any more: {names}; --prune deletes them")
        losses = [f"{change.kind} {change.name}: {loss}" for change in found.changes for loss in change.losses]
        if not dry_run:
            if losses and not confirm:
                lines = "\n".join(f"  {each}" for each in losses)
                raise StackError(f"Something would be lost; nothing was changed.\n{lines}", "--confirm allows it.")
            report = (lambda _: None) if as_json else _done
            perform(found.changes, documents, tenant, owned, set_name, report)
        if as_json:
            changes = [change.as_dict() for change in found.changes]
            orphans = [{"kind": kind, "name": name} for kind, name in found.orphans]
            emit({"set": set_name, "applied": not dry_run, "changes": changes, "orphans": [] if prune else orphans})
    if dry_run and found.changes:
        raise typer.Exit(NOTEWORTHY)


def export(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A folder for a file per object; without it stdout.")
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Write the tenant's connectors, schemas and pipelines as `headrace apply` reads them.

    Secrets are never in it: ${NAME} stands where one belongs. Pipelines of legacy nodes and edges have no IR and are
    left out, which is told.
    """
    from deployments.commands.tenant import Tenant
    from deployments.commands.yaml_text import write_yaml

    with connect(url, api_key, data_dir) as rest:
        documents: list[dict[str, Any]] = []
        for document in Tenant(rest).documents():
            if document["kind"] == "pipeline" and "nodes" not in document:
                note(f"left out: pipeline {document.get('name')} has legacy nodes and edges and no IR")
            else:
                documents.append(document)
    if output is None:
        if as_json:
            emit(documents)
        else:
            out.file.write("---\n".join(write_yaml(document) for document in documents))
        return
    output.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    for document in documents:
        name = str(document.get("name") or document["metadata"]["name"])
        file = _file_name(str(document["kind"]), name, taken) + (".json" if as_json else ".yaml")
        text = json.dumps(document, ensure_ascii=False, indent=2) + "\n" if as_json else write_yaml(document)
        (output / file).write_text(text, encoding="utf-8")
    note(f"{len(documents)} files in {output}")


def _file_name(kind: str, name: str, taken: set[str]) -> str:
    plain = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name.lower()).strip("-")
    stem, number = f"{kind}-{plain}"[:100], 1
    while stem in taken:
        number += 1
        stem = f"{kind}-{plain}"[:95] + f"-{number}"
    taken.add(stem)
    return stem


def _show(changes: tuple[Change, ...]) -> None:
    for change in changes:
        sign, colour = _SIGNS[change.action]
        out.print(f"[{colour}]{sign} {change.kind} {escape(change.name)}[/{colour}]")
        for detail in change.details:
            say(f"    {detail}")
        for loss in change.losses:
            out.print(f"    [red]loses {escape(loss)} (needs --confirm)[/red]")
    counted = [f"{sum(each.action == action for each in changes)} to {action}" for action in _SIGNS]
    say(", ".join(counted) if changes else "nothing to do")


def _done(change: Change) -> None:
    say(f"{_DONE[change.action]} {change.kind} {change.name}", "dim")
