"""`headrace demo` from start to end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

from rich.console import Console
from rich.markup import escape

from headrace.deployments.cli.open import data_dir_option
from headrace.deployments.demo import documents
from headrace.deployments.demo.client import Client
from headrace.deployments.demo.display import print_report, watch_run
from headrace.deployments.demo.documents import write_flights
from headrace.deployments.demo.verify import checks, expected_counts, table_sums
from headrace.deployments.errors import HeadraceError
from headrace.deployments.stack.detached import start_detached, stop_detached
from headrace.deployments.stack.layout import Layout
from headrace.deployments.stack.options import StackOptions
from headrace.deployments.stack.state import StackState, holder


def run_demo(options: StackOptions, *, keep: bool, console: Console) -> int:
    """Runs the demo with the stack of `options`, which is started if needed. Returns the exit code: 1 when a count
    differs. Raises StackError."""
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
            raise HeadraceError(f"The run failed: {detail['failureReason']}")

        _title(console, "Checking")
        after = table_sums(state.database_url, table)
        equal = True
        for check in checks(detail["statistics"], before, after, expected_counts(csv)):
            mark = "[green]ok[/green]   " if check.holds else "[bold red]WRONG[/bold red]"
            found = f"{check.found:,}" if check.holds else f"{check.found:,}, not {check.expected:,}"
            console.print(f"{mark} {escape(check.what):40} {found}")
            equal = equal and check.holds

        _title(console, "Where to look")
        _print_places(console, state, options.data_dir, table, run["id"])
        if not equal:
            console.print("[bold red]The demo failed: the counts above differ.[/bold red]")
        return 0 if equal else 1


@contextmanager
def _stack(options: StackOptions, *, keep: bool, console: Console) -> Iterator[StackState]:
    """The running stack of the data folder, or a new one, which is stopped after the demo unless `keep`."""
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


def _print_places(console: Console, state: StackState, data_dir: Path, table: str, run_id: str) -> None:
    flow_run = run_id.removeprefix("run_")
    dashed = "-".join((flow_run[:8], flow_run[8:12], flow_run[12:16], flow_run[16:20], flow_run[20:]))
    console.print(f"Console     headrace open console /runs/{run_id}{data_dir_option(data_dir)}", soft_wrap=True)
    console.print(f"Prefect UI  headrace open prefect /runs/flow-run/{dashed}{data_dir_option(data_dir)}")
    console.print(f"API docs    {state.api_url.removesuffix('/api/v1')}/docs")
    psql = f'psql "$(jq -r .databaseUrl {quote(str(Layout.of(data_dir).state))})"'
    console.print(f"Database    {psql} -c 'TABLE public.{table} LIMIT 5'", soft_wrap=True)


def _title(console: Console, text: str) -> None:
    console.print(f"\n[bold]{text}[/bold]")
