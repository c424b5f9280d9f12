"""`headrace plan` and `headrace preview`: what a run would do, without running it."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from headrace.deployments.cli.options import ApiKey, DataDir, Json, Pipeline, Url, connect
from headrace.deployments.cli.output import cell, emit, grid, note, out, say, show
from headrace.deployments.cli.replications import called, is_replication, plan_replication
from headrace.deployments.cli.rest import find_pipeline
from headrace.deployments.stack.layout import DEFAULT_DATA_DIR

_COLUMNS = 12

IrVersion = Annotated[int | None, typer.Option(min=1, help="This version instead of the live one.")]


def plan(
    pipeline: Pipeline,
    ir_version: IrVersion = None,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Show the stages and partitions of a run, what it would change in the database, and the SQL. Nothing runs. Of a
    replication, show the tables that were found, their DDL, and what is different from the last run."""
    with connect(url, api_key, data_dir) as rest:
        found = called(rest, pipeline)
        if is_replication(found):
            plan_replication(rest, found, as_json=as_json)
            return
        planned = rest.post(f"/pipelines/{found['id']}/plan", _body(ir_version))
    if as_json:
        emit(planned)
        return
    rows = f"{planned['estimatedRows']:,} rows"
    say(f"{found['name']}: {planned['loadStrategy']}, {rows}, up to {planned['parallelism']} partitions at a time")
    for stage in planned["stages"]:
        ends = ", ".join(dict.fromkeys(map(_sink_text, stage["sinks"])))
        out.print(f"\n[bold]{escape(stage['name'])}[/bold] → {escape(ends)}")
        if stage["unread"]:
            out.print(f"  not read: {escape(', '.join(stage['unread']))}", style="dim")
        if stage["where"]:
            out.print(f"  passed over unless {escape(' and '.join(stage['where']))}", style="dim")
        for number, query in enumerate(stage["queries"], 1):
            for step in query:
                say(f"  {number}. {step}")
        partitions = f"{(many := len(stage['partitions'])):,} partition{'s' * (many != 1)}"
        out.print(f"  {stage['rows']:,} rows in {partitions}", style="dim")
    changes = [each for each in planned["ddl"] if each["statement"]]
    if changes:
        out.print("\n[bold]changes in the database[/bold]")
        for each in changes:
            say(f"{each['statement']}", "yellow")
    for target in planned["sql"]:
        out.print(f"\n[bold]{escape(target['table'])}[/bold]")
        say(target["sql"])
    for text in planned["notes"]:
        note(text)


def preview(
    pipeline: Pipeline,
    node: Annotated[str | None, typer.Option(help="Only this node; all of them unless given.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="So many records of each source.")] = 10,
    ir_version: IrVersion = None,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Show the rows and errors after each node, for the first records of the sources. Nothing is written."""
    body = _body(ir_version) | {"limit": limit} | ({"node": node} if node is not None else {})
    with connect(url, api_key, data_dir) as rest:
        found = rest.post(f"/pipelines/{find_pipeline(rest, pipeline)['id']}/preview", body)
    if as_json:
        emit(found)
        return
    for each in found["nodes"]:
        _show(each)


def _body(ir_version: int | None) -> dict[str, Any]:
    return {} if ir_version is None else {"irVersion": ir_version}


def _sink_text(sink: dict[str, Any]) -> str:
    if sink["table"]:
        return f"{sink['table']} ({sink['loadMode']})"
    return "later stages" if sink["sends"] else "dataset rules"


def _show(node: dict[str, Any]) -> None:
    counts = f"{node['rowsIn']:,} in, {node['rowsOut']:,} out, {node['failed']:,} failed, {node['skipped']:,} skipped"
    out.print(f"\n[bold]{escape(node['node'])}[/bold] {node['kind']}: {counts}")
    if node["rows"]:
        names = list(node["rows"][0]["values"])
        table = grid("row", *(escape(name) for name in names[:_COLUMNS]))
        for row in node["rows"]:
            table.add_row(cell(row["row"]), *(cell(row["values"].get(name)) for name in names[:_COLUMNS]))
        show(table)
        if len(names) > _COLUMNS:
            note(f"and {len(names) - _COLUMNS} more columns; --json gives all")
    for error in node["errors"]:
        place = f"row {error['row']}" + (f", {error['column']}" if error["column"] else "")
        colour = "yellow" if error["warning"] else "red"
        value = "" if error["value"] is None else f" ({error['value']})"
        text = f"{place}: {error['error']}{value}"
        out.print(f"[{colour}]{escape(text)}[/{colour}]")
    for remark in node["notes"]:
        note(remark)
    if node["stopsRun"]:
        out.print(f"[red]a run would stop here: {escape(node['stopsRun'])}[/red]")
