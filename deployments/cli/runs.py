"""`headrace run`, `runs`, `retry` and `cancel`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.markup import escape

from headrace.deployments.cli.options import (
    ApiKey,
    DataDir,
    Json,
    Pipeline,
    RunId,
    Url,
    complete_pipeline,
    connect,
)
from headrace.deployments.cli.output import EXIT_ATTENTION, cell, emit, grid, note, out, say, show
from headrace.deployments.cli.replications import (
    called,
    cancel_replication,
    is_replication,
    list_replication_runs,
    retry_replication,
    run_replication,
)
from headrace.deployments.cli.rest import ApiRefused, Rest, newest_run
from headrace.deployments.cli.watch import COLOURS, summary, watch
from headrace.deployments.errors import HeadraceError
from headrace.deployments.stack.layout import DEFAULT_DATA_DIR
from headrace.flows.prefect.names import CANCELLED

_COUNTS = ("rowsIn", "rowsOut", "failedRows", "skippedRows")

Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show how it goes until it has ended.")]


def run(
    pipeline: Pipeline,
    watched: Watch = False,
    parameters: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE for {{NAME}} in the sources; may be repeated.")
    ] = None,
    ir_version: Annotated[int | None, typer.Option(min=1, help="This version instead of the live one.")] = None,
    idempotency_key: Annotated[str | None, typer.Option(help="The same key starts one run, however often.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Start a run of a pipeline, or of a replication.

    Exit codes with --watch: 0 completed, 1 failed, 3 completed with errors. Ctrl-C leaves the run going (130).
    """
    body: dict[str, Any] = {"parameters": _parameters(parameters or [])}
    body |= {"irVersion": ir_version} if ir_version is not None else {}
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key is not None else None
    with connect(url, api_key, data_dir) as rest:
        found = called(rest, pipeline)
        if is_replication(found):
            if parameters or ir_version is not None:
                raise HeadraceError("A replication has no parameters and no IR versions.", "Leave the options out.")
            run_replication(rest, found, idempotency_key, watched=watched, as_json=as_json)
            return
        started = rest.post(f"/pipelines/{found['id']}/run", body, headers)
        _print_started(rest, found, started, watched=watched, as_json=as_json)


def runs(
    pipeline: Annotated[
        str | None,
        typer.Argument(
            help="The pipeline's name or id; every pipeline and its last run unless given.",
            autocompletion=complete_pipeline,
            show_default=False,
        ),
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """List the newest runs of a pipeline or replication, or all pipelines with their last run."""
    columns: tuple[str, ...]
    with connect(url, api_key, data_dir) as rest:
        named = None if pipeline is None else called(rest, pipeline)
        if named is not None and is_replication(named):
            list_replication_runs(rest, named, as_json=as_json)
            return
        if named is None:
            columns = ("name", "id", "status", "lastRunStatus", "lastRunAt")
            found = [{name: each[name] for name in columns} for each in rest.all("/pipelines")]
        else:
            columns = ("id", "status", "createdAt", "completedAt", *_COUNTS)
            path = f"/pipelines/{named['id']}/runs"
            found = [{**each, **_counts(rest, f"{path}/{each['id']}")} for each in rest.get(path)]
            found = [{name: each[name] for name in columns} | _skipped(each) for each in found]
    if as_json:
        emit(found)
        return
    table = grid(*columns)
    for each in found:
        each["status"] = "skipped" if "skipReason" in each else each["status"]
        table.add_row(*(cell(each[name]) if name in _COUNTS else _coloured(each[name]) for name in columns))
    show(table)


def _skipped(run: dict[str, Any]) -> dict[str, str]:
    return {"skipReason": run["skipReason"]} if "skipReason" in run else {}


def retry(
    pipeline: Pipeline,
    run_id: RunId = None,
    watched: Watch = False,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Continue a failed run after the rows it committed, or run the failed rows of a completed one again. Of a
    replication, copy the tables that a run did not copy.

    Exit codes with --watch are those of `headrace run`.
    """
    with connect(url, api_key, data_dir) as rest:
        found = called(rest, pipeline)
        if is_replication(found):
            retry_replication(rest, found, run_id, watched=watched, as_json=as_json)
            return
        started = rest.post(f"/pipelines/{found['id']}/runs/{run_id or newest_run(rest, found)}/retry")
        if not as_json:
            for line in started["log"]:
                say(line["message"])
        _print_started(rest, found, started, watched=watched, as_json=as_json)


def cancel(
    pipeline: Pipeline,
    run_id: RunId = None,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Stop a run; committed rows stay, and a retry continues after them."""
    with connect(url, api_key, data_dir) as rest:
        found = called(rest, pipeline)
        if is_replication(found):
            asked = cancel_replication(rest, found, run_id)
        else:
            asked = rest.post(f"/pipelines/{found['id']}/runs/{run_id or newest_run(rest, found)}/cancel")
    if as_json:
        emit(asked)
    else:
        say(f"{asked['id']} is being stopped")


def _counts(rest: Rest, path: str) -> dict[str, Any]:
    """The counts of rows of a run; None for one that is not in the catalog yet."""
    try:
        statistics = rest.get(path)["statistics"]
    except ApiRefused:  # a scheduled run of a pipeline that cannot run
        statistics = {}
    return {name: statistics.get(name) for name in _COUNTS}


def _print_started(
    rest: Rest, pipeline: dict[str, object], started: dict[str, Any], *, watched: bool, as_json: bool
) -> None:
    run_id = started["id"]
    if as_json:
        emit(started)
    else:
        say(str(run_id))
    if not watched:
        return
    try:
        last = watch(rest, f"/pipelines/{pipeline['id']}/runs/{run_id}", as_json=as_json)
    except KeyboardInterrupt:
        name = json.dumps(pipeline["name"], ensure_ascii=False)
        note(f"the run goes on; `headrace cancel {name} {run_id}` stops it")
        raise
    if not as_json:
        colour = COLOURS[last["status"]]
        out.print(f"[{colour}]{escape(summary(last))}[/{colour}]")
    if last["status"] == "failed":
        run = rest.get(f"/pipelines/{pipeline['id']}/runs/{run_id}")
        hint = "`headrace retry` continues after the committed rows."
        if run["failureReason"] == CANCELLED:
            raise HeadraceError("The run was cancelled.", hint)
        if not last["partitions"]:  # it ended before it had a plan
            hint = "Correct the cause and start a new run: `headrace retry` runs the same version again."
        if any(rule["onFail"] == "abort" and not rule["holds"] for rule in run.get("datasetRules", [])):
            hint = "Correct the file or the rule, then `headrace retry`: it reads all rows again."
            if last["rowsOut"]:
                hint = "Correct the file or the rule, then start a new run: a retry would check the same rows again."
        raise HeadraceError(f"The run failed: {run['failureReason']}", hint)
    if last["status"] == "completed_with_errors":
        if not as_json:
            note("`headrace errors` shows the rejected cells")
        raise typer.Exit(EXIT_ATTENTION)


def _parameters(given: list[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in given]
    wrong = [name for name, equals, _ in pairs if not equals or not name]
    if wrong:
        raise typer.BadParameter(f"'{wrong[0]}' is not NAME=VALUE", param_hint="--param")
    return {name: value for name, _, value in pairs}


def _coloured(value: object) -> str:
    colour = COLOURS.get(str(value))
    return f"[{colour}]{value}[/{colour}]" if colour else cell(value)
