"""`headrace validate` and `headrace init`: check and create files without a stack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from headrace.deployments.cli.options import Json
from headrace.deployments.cli.output import EXIT_ATTENTION, emit, note, say
from headrace.deployments.errors import HeadraceError
from headrace.deployments.extras import install, missing

if TYPE_CHECKING:
    from headrace.deployments.cli.documents.load import Document, Fault

_CONNECTOR = """\
# A place that pipelines read from: here the stack's files folder (.headrace/files after `headrace up`).
kind: connector
name: files
type: local_fs
"""
_SCHEMA = """\
# A table: public.ds_orders. `headrace apply` makes it, and alters it when this file changes.
kind: schema
name: orders
displayName: Orders
fields:
- {name: id, dataType: bigint, isPrimaryKey: true}
- {name: name, dataType: text}
- {name: amount, dataType: decimal, precision: 12, scale: 2}
"""
_PIPELINE = """\
# Reads orders.csv, keeps what is wrong apart, loads the rest. Every field: docs/reference.md, or the editor's schema.
kind: pipeline
connector: files
schema: orders
version: "1.0"
id: orders
metadata: {name: Orders, owner: data-team}
# schedule: {kind: cron, expression: "0 2 * * *", timezone: Europe/Paris}
nodes:
- {id: src, kind: source, connector: local_fs, config: {path: orders.csv}}
- id: check
  kind: validate
  input: src
  rowLevel:
  - {id: named, field: name, rule: not_empty}
  - {id: positive, field: amount, rule: "gt:0"}
- {id: tgt, kind: target, input: check, schema: public.ds_orders, loadMode: upsert, upsertKey: [id]}
"""
_ORDERS = "id,name,amount\n1,Ann,10.50\n2,Bob,-1\n3,,30\n"
_FILES = {
    "connector-files.yaml": _CONNECTOR,
    "schema-orders.yaml": _SCHEMA,
    "pipeline-orders.yaml": _PIPELINE,
    "data/orders.csv": _ORDERS,
}


Folder = Annotated[Path, typer.Argument(help="Where to write; it is made if needed.")]


def init(folder: Folder = Path("pipelines")) -> None:
    """Write a small pipeline to start from: a connector, a schema, a pipeline and a file to load.

    Nothing that is there is overwritten.
    """
    there = [name for name in _FILES if (folder / name).exists()]
    if there:
        raise HeadraceError(f"{folder / there[0]} is there already; nothing was written.", "Name another folder.")
    for name, text in _FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
        say(str(folder / name))
    note(
        f"next: headrace up --detach; cp {folder / 'data'}/orders.csv .headrace/files/; "
        f"headrace apply -f {folder}; headrace run Orders --watch"
    )


def validate(
    files: Annotated[list[Path], typer.Option("--file", "-f", help="A YAML or JSON file, a folder of them, or -.")],
    shape_only: Annotated[
        bool,
        typer.Option("--shape-only", help="Leave columns, types and expressions out (they need 'engine')."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check files without a stack: shape, references between them, columns, types and expressions.

    What needs the stack's tables and files is checked by `headrace apply --dry-run`. An installation without the extra
    'engine' cannot check columns, types and expressions: it says so, and the exit code is 3 unless --shape-only.
    """
    from headrace.deployments.cli.documents.load import DocumentsInvalid, load_documents

    documents = load_documents(files, None)
    whole = not (shape_only or missing("engine"))
    if whole and (faults := list(_faults(documents))):
        raise DocumentsInvalid(faults)
    counts = {kind: sum(each.kind == kind for each in documents) for kind in ("connector", "schema", "pipeline")}
    if any(each.kind == "replication" for each in documents):
        counts["replication"] = sum(each.kind == "replication" for each in documents)
    if as_json:
        emit({"valid": True, "checked": "all" if whole else "shape", "documents": counts})
    else:
        named = ", ".join(f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in counts.items())
        say(f"{named}: {'valid' if whole else 'well-formed'}")
    if not (whole or shape_only):
        note(f"Columns, types and expressions were not checked. They are with the extra 'engine': {install('engine')}")
        raise typer.Exit(EXIT_ATTENTION)


def _faults(documents: list[Document]) -> Iterator[Fault]:
    from headrace.deployments.cli.documents.load import Fault
    from headrace.flows.validation.check import check_types
    from headrace.ir import parse_ir

    for document in documents:
        if document.ir is None:
            continue
        parsed = parse_ir(document.ir)
        assert parsed.ir is not None, "load_documents has refused it otherwise"
        for problem in check_types(parsed.ir):
            yield Fault(document.origin, problem)
