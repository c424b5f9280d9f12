"""What `headrace plan`, `run`, `runs`, `retry` and `cancel` do with a replication instead of a pipeline."""

from __future__ import annotations

import time
from typing import Any

import typer
from rich.markup import escape

from headrace.deployments.cli.output import EXIT_ATTENTION, cell, emit, grid, note, out, say, show
from headrace.deployments.cli.rest import Rest, find_pipeline
from headrace.deployments.cli.watch import COLOURS, FINAL
from headrace.deployments.errors import HeadraceError
from headrace.flows.prefect.names import CANCELLED

_POLL_S = 0.5
_COUNTS = (("rowsIn", "in"), ("rowsOut", "out"), ("failedRows", "failed"), ("skippedRows", "skipped"))

Item = dict[str, Any]


def called(rest: Rest, name: str) -> Item:
    """The pipeline of that name or id, else the replication. Raises StackError when there is neither."""
    if name.startswith("repl_"):
        found: Item = rest.get(f"/replications/{name}")
        return found
    try:
        return find_pipeline(rest, name)
    except HeadraceError:
        for each in rest.all("/replications", q=name):
            if each["name"] == name:
                return each
        raise


def is_replication(found: Item) -> bool:
    """Whether what was found is a replication."""
    return str(found["id"]).startswith("repl_")


def plan_replication(rest: Rest, found: Item, *, as_json: bool) -> None:
    """Prints what a run would do with each table."""
    planned = rest.post(f"/replications/{found['id']}/plan", {})
    if as_json:
        emit(planned)
        return
    say(f"{found['name']}: " + ", ".join(f"{count} {change}" for change, count in planned["totals"].items()))
    for table in planned["tables"]:
        into = f" → {table['target']} ({table['loadMode']})" if table["target"] else ""
        out.print(f"\n[bold]{escape(table['name'])}[/bold] {table['change']}{escape(into)}")
        for change in table["columns"]:
            say(f"  {change['name']}: {change['before'] or 'none'} → {change['after'] or 'none'}")
        for statement in table["ddl"]:
            say(f"  {statement}", "yellow")
        for text in table["notes"]:
            say(f"  {text}", "dim")
        for problem in table["problems"]:
            hint = f" ({problem['hint']})" if problem["hint"] else ""
            say(f"  {problem['path']}: {problem['message']}{hint}", "red")


def run_replication(rest: Rest, found: Item, key: str | None, *, watched: bool, as_json: bool) -> None:
    """Starts a run of all tables."""
    headers = {"Idempotency-Key": key} if key is not None else None
    started = rest.post(f"/replications/{found['id']}/run", None, headers)
    _print_started(rest, found, started, watched=watched, as_json=as_json)


def retry_replication(rest: Rest, found: Item, run_id: str | None, *, watched: bool, as_json: bool) -> None:
    """Starts a run of the tables that a run did not copy."""
    started = rest.post(f"{_run_path(rest, found, run_id)}/retry")
    _print_started(rest, found, started, watched=watched, as_json=as_json)


def cancel_replication(rest: Rest, found: Item, run_id: str | None) -> Item:
    """Requests the end of a run."""
    asked: Item = rest.post(f"{_run_path(rest, found, run_id)}/cancel")
    return asked


def list_replication_runs(rest: Rest, found: Item, *, as_json: bool) -> None:
    """Prints the newest runs with their totals."""
    runs = rest.get(f"/replications/{found['id']}/runs")
    if as_json:
        emit(runs)
        return
    table = grid("id", "status", "createdAt", "completedAt", "tables", *(name for name, _ in _COUNTS))
    for each in runs:
        counts = [cell(each["totals"][name]) for name, _ in _COUNTS]
        copied = f"{_copied(each)} of {sum(each['tables'].values())}"
        table.add_row(each["id"], each["status"], each["createdAt"], cell(each["completedAt"]), copied, *counts)
    show(table)


def _print_started(rest: Rest, found: Item, started: Item, *, watched: bool, as_json: bool) -> None:
    if as_json:
        emit(started)
    else:
        say(str(started["id"]))
    if not watched:
        return
    try:
        last = _watched(rest, f"/replications/{found['id']}/runs/{started['id']}", as_json=as_json)
    except KeyboardInterrupt:
        note(f"the run goes on; `headrace cancel {found['id']} {started['id']}` stops it")
        raise
    if not as_json:
        counts = ", ".join(f"{last['totals'][name]:,} {word}" for name, word in _COUNTS)
        colour = COLOURS[last["status"]]
        copied = f"{_copied(last)} of {len(last['results'])} tables"
        out.print(f"[{colour}]{escape(last['status'])}: {copied}, {counts}[/{colour}]")
    if last["status"] == "failed":
        run = rest.get(f"/replications/{found['id']}/runs/{started['id']}")
        if run["failureReason"] == CANCELLED:
            raise HeadraceError("The run was cancelled.", "`headrace retry` copies the other tables.")
        raise HeadraceError(f"The run failed: {run['failureReason']}", "`headrace retry` copies the other tables.")
    if last["status"] == "completed_with_errors":
        raise typer.Exit(EXIT_ATTENTION)


def _watched(rest: Rest, path: str, *, as_json: bool) -> Item:
    """Prints a line for each table that changes until the run has ended; returns its last progress."""
    before: dict[str, str] = {}
    last: Item = {}
    while True:
        progress: Item = rest.get(f"{path}/progress")
        if as_json and progress != last:
            emit(progress)
        for table in progress["results"]:
            if table["status"] != before.get(table["name"]) and table["status"] != "waiting" and not as_json:
                message = f": {table['message']}" if table["message"] else ""
                say(f"{progress['percent']:5.1f} %  {table['name']} {table['status']}{message}")
            before[table["name"]] = table["status"]
        last = progress
        if progress["status"] in FINAL:
            return progress
        time.sleep(_POLL_S)


def _run_path(rest: Rest, found: Item, run_id: str | None) -> str:
    path = f"/replications/{found['id']}/runs"
    if run_id is None:
        runs = rest.get(path)
        if not runs:
            raise HeadraceError(f"The replication '{found['name']}' has not run yet.", "`headrace run` starts it.")
        run_id = runs[0]["id"]
    return f"{path}/{run_id}"


def _copied(run: Item) -> int:
    return int(run["tables"].get("completed", 0) + run["tables"].get("completed_with_errors", 0))
