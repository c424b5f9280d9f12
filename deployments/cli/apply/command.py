"""`headrace apply` and `headrace export`: a tenant's connectors, schemas, pipelines and replications as files."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from headrace.deployments.cli.options import ApiKey, DataDir, Json, Url, connect
from headrace.deployments.cli.output import EXIT_ATTENTION, emit, note, out, say
from headrace.deployments.errors import HeadraceError
from headrace.deployments.stack.layout import DEFAULT_DATA_DIR

if TYPE_CHECKING:
    from headrace.deployments.cli.apply.comparison import Change
    from headrace.deployments.cli.apply.tenant import Tenant
    from headrace.deployments.cli.documents.load import Document

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
        str | None,
        typer.Option(
            "--set",
            help="The set the files belong to: a set prunes only what it brought. By itself, that of their folder.",
            show_default=False,
        ),
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Make connectors, schemas, pipelines and replications what files say.

    Documents have a `kind` (connector, schema, pipeline, replication) and are identified by name, connector documents
    by id; `${NAME}` in a connector's config and authConfig is taken from the environment. Everything is checked before
    anything is changed.

    Exit codes: 0 applied, or nothing to do; 1 an error; 2 wrong usage; 3 the dry run found changes.
    """
    from headrace.deployments.cli.apply.changes import find_changes
    from headrace.deployments.cli.apply.dry_run import server_dry_run
    from headrace.deployments.cli.apply.perform import perform, read_owned
    from headrace.deployments.cli.apply.set_names import set_name_for
    from headrace.deployments.cli.apply.tenant import Tenant
    from headrace.deployments.cli.documents.load import load_documents

    documents = load_documents(files, os.environ)
    named = set_name or set_name_for(files)
    if named is None and prune:
        raise HeadraceError("Documents from stdin belong to no set, so nothing can be pruned.", "Name it: --set NAME.")
    with connect(url, api_key, data_dir) as rest:
        tenant = Tenant(rest)
        owned = {} if named is None else read_owned(rest, named)
        found = find_changes(documents, tenant, set(owned), prune=prune, resend_secrets=secrets)
        if not as_json:
            _show(found.changes)
            if found.orphans and not prune:
                names = ", ".join(f"{kind} {name}" for kind, name in found.orphans)
                note(f"not in the files any more: {names}; --prune deletes them")
            if prune and set_name is None:
                _show_earlier(documents, tenant)
        losses = [f"{change.kind} {change.name}: {loss}" for change in found.changes for loss in change.losses]
        if losses and not confirm and not dry_run:
            lines = "\n".join(f"  {each}" for each in losses)
            raise HeadraceError(f"Something would be lost; nothing was changed.\n{lines}", "--confirm allows it.")
        untried = server_dry_run(found.changes, documents, tenant)
        if dry_run:
            for remark in untried:
                note(remark)
        else:
            report = (lambda _: None) if as_json else _done
            perform(found.changes, documents, tenant, owned, named, report)
        if as_json:
            changes = [change.as_dict() for change in found.changes]
            orphans = [{"kind": kind, "name": name} for kind, name in found.orphans]
            emit({"set": named, "applied": not dry_run, "changes": changes, "orphans": [] if prune else orphans})
    if dry_run and found.changes:
        raise typer.Exit(EXIT_ATTENTION)


def export(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A folder for a file per object; without it stdout.")
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Write the tenant's connectors, schemas, pipelines and replications as `headrace apply` reads them.

    Secrets are not written: they are replaced by ${NAME}. Pipelines of legacy nodes and edges have no IR and are left
    out, with a note.
    """
    from headrace.deployments.cli.apply.tenant import Tenant
    from headrace.deployments.cli.documents.models import YAML_CONNECTOR
    from headrace.deployments.cli.documents.yaml_format import write_yaml

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
        described = document["kind"] == "connector" and "type" not in document
        name = str(document["id"] if described else document.get("name") or document["metadata"]["name"])
        file = _file_name(YAML_CONNECTOR if described else str(document["kind"]), name, taken) + (
            ".json" if as_json else ".yaml"
        )
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


def _show_earlier(documents: Sequence[Document], tenant: Tenant) -> None:
    """Notes objects that earlier releases applied without a set and that are not in these files: other folders may have
    them."""
    from headrace.deployments.cli.apply.perform import read_owned
    from headrace.deployments.cli.apply.set_names import LEGACY_SET

    owned = read_owned(tenant.rest, LEGACY_SET)
    mine = {(each.kind, each.name) for each in documents}
    names = [
        f"{kind} {name}"
        for kind in sorted(set(owned.values()))
        for name, item in sorted(tenant.of(kind).items())
        if item["id"] in owned and (kind, name) not in mine
    ]
    if names:
        note(
            f"kept: {', '.join(names)}, applied without a set by an earlier release; `--set {LEGACY_SET} --prune` "
            "deletes"
        )


def _done(change: Change) -> None:
    say(f"{_DONE[change.action]} {change.kind} {change.name}", "dim")
