"""The demo from start to end. Returns an exit code: 1 when any count differs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

from deployments.demo import documents
from deployments.demo.client import Client
from deployments.demo.expected import expected_counts
from deployments.demo.report import print_report
from deployments.demo.source import write_flights
from deployments.demo.verify import checks, table_sums
from deployments.demo.watch import watch_run
from deployments.stack.detached import start_detached, stop_detached
from deployments.stack.errors import StackError
from deployments.stack.layout import Layout
from deployments.stack.lock import holder
from deployments.stack.options import StackOptions
from deployments.stack.state import StackState


def run_demo(options: StackOptions, *, keep: bool, console: Console) -> int:
    """Runs the demo against the stack of `options`, started here when none runs. Raises StackError."""
    with _stack(options, keep=keep, console=console) as state, Client(state) as client:
        _title(console, "Preparing")
        csv = write_flights(state.files_root)
        console.print(f"source      {csv}")
        connector, _ = client.ensure("/connectors", documents.CONNECTOR, documents.revision(documents.CONNECTOR))
        schema, made = client.ensure("/schemas", documents.SCHEMA, documents.revision(documents.SCHEMA))
        table = schema["tableName"]
        console.print(f"table       public.{table} {'created' if made else 'is there already'}")
        ir = documents.pipeline_ir(f"public.{table}")
        body = documents.PIPELINE | {
            "connectorId": connector["id"],
            "schemaId": schema["id"],
            "irVersion": "1.0",
            "ir": ir,
        }
        pipeline, made = client.ensure("/pipelines", body, documents.revision(body))
        console.print(f"pipeline    {pipeline['name']} ({pipeline['id']}) {'created' if made else 'is there already'}")

        _title(console, "Running")
        before = table_sums(state.database_url, table)
        run = client.post(f"/pipelines/{pipeline['id']}/run")
        path = f"/pipelines/{pipeline['id']}/runs/{run['id']}"
        progress, seconds = watch_run(client, path, console)
        detail = client.get(path)
        order = [node["id"] for node in ir["nodes"]]
        print_report(console, detail, client.get(f"{path}/errors", limit=5), seconds, order=order)
        if progress["status"] == "failed":
            raise StackError(f"The run failed: {detail['failureReason']}")

        _title(console, "Checking")
        after = table_sums(state.database_url, table)
        equal = True
        for check in checks(detail["statistics"], before, after, expected_counts(csv)):
            mark = "[green]ok[/green]   " if check.holds else "[bold red]WRONG[/bold red]"
            found = f"{check.found:,}" if check.holds else f"{check.found:,}, not {check.expected:,}"
            console.print(f"{mark} {escape(check.what):40} {found}")
            equal = equal and check.holds

        _title(console, "Where to look")
        _print_places(console, state, table, run["id"])
        if not equal:
            console.print("[bold red]The demo failed: the counts above differ.[/bold red]")
        return 0 if equal else 1


@contextmanager
def _stack(options: StackOptions, *, keep: bool, console: Console) -> Iterator[StackState]:
    """The running stack of the data folder, or one for as long as the demo takes (longer with `keep`)."""
    layout = Layout.of(options.data_dir)
    state = StackState.read(layout.state)
    if state is not None and holder(layout.lock) is not None:
        console.print(f"using the stack on {layout.root}")
        yield state
        return
    _title(console, "Starting the stack")
    state = start_detached(options, lambda text: console.print(escape(text), style="dim"))
    try:
        yield state
    finally:
        if keep:
            console.print("\nThe stack keeps running. `make down`, or this, stops it:")
            console.print(f"headrace down --data-dir {layout.root}", style="dim")
        else:
            stop_detached(layout)
            console.print("The stack has been stopped; headrace demo --keep leaves it running, headrace up starts it.")


def _print_places(console: Console, state: StackState, table: str, run_id: str) -> None:
    flow_run = run_id.removeprefix("run_")
    dashed = "-".join((flow_run[:8], flow_run[8:12], flow_run[12:16], flow_run[16:20], flow_run[20:]))
    console.print(f"Prefect UI  {state.prefect_url}/runs/flow-run/{dashed}")
    console.print(f"API docs    {state.api_url.removesuffix('/api/v1')}/docs")
    console.print(f"Database    psql '{state.database_url}' -c 'TABLE public.{table} LIMIT 5'")


def _title(console: Console, text: str) -> None:
    console.print(f"\n[bold]{text}[/bold]")
