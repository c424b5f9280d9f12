"""`headrace run`, `runs`, `errors`, `retry` and `cancel`."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.markup import escape

from deployments.commands.options import ApiKey, DataDir, Json, Pipeline, Url, complete_pipeline, connect, find_pipeline
from deployments.commands.output import NOTEWORTHY, cell, emit, grid, note, out, say, show
from deployments.commands.rest import Rest
from deployments.commands.watch import COLOURS, summary, watch
from deployments.stack.errors import StackError
from deployments.stack.layout import DEFAULT_DATA_DIR
from flows.state_names import CANCELLED

_SHOWN_ERRORS = 50
_MOST_ERRORS = 1000

RunId = Annotated[str | None, typer.Argument(help="The run's id; the newest run unless given.", show_default=False)]
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
    """Start a run.

    Exit codes with --watch: 0 completed, 1 failed, 3 completed with errors. Ctrl-C leaves the run going (130).
    """
    body: dict[str, Any] = {"parameters": _parameters(parameters or [])}
    body |= {"irVersion": ir_version} if ir_version is not None else {}
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key is not None else None
    with connect(url, api_key, data_dir) as rest:
        found = find_pipeline(rest, pipeline)
        started = rest.post(f"/pipelines/{found['id']}/run", body, headers)
        _follow(rest, found, started, watched=watched, as_json=as_json)


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
    """List the newest runs of a pipeline, or all pipelines with their last run."""
    columns: tuple[str, ...]
    with connect(url, api_key, data_dir) as rest:
        if pipeline is None:
            columns = ("name", "id", "status", "lastRunStatus", "lastRunAt")
            found = [{name: each[name] for name in columns} for each in rest.all("/pipelines")]
        else:
            columns = ("id", "status", "createdAt", "completedAt")
            chosen = find_pipeline(rest, pipeline)
            found = [{name: each[name] for name in columns} for each in rest.get(f"/pipelines/{chosen['id']}/runs")]
    if as_json:
        emit(found)
        return
    table = grid(*columns)
    for each in found:
        table.add_row(*(_coloured(each[name]) for name in columns))
    show(table)


def errors(
    pipeline: Pipeline,
    run_id: RunId = None,
    limit: Annotated[int, typer.Option(min=1, max=_MOST_ERRORS, help="At most so many.")] = _SHOWN_ERRORS,
    csv: Annotated[bool, typer.Option("--csv", help="All of them as CSV on stdout.")] = False,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Show the cells a run rejected: row, column, value and reason; and why it failed, when it did."""
    with connect(url, api_key, data_dir) as rest:
        path = _path_of(rest, pipeline, run_id)
        if csv:
            with rest.lines(f"{path}/errors", "text/csv") as texts:
                for text in texts:
                    sys.stdout.write(text)
            return
        found = rest.get(f"{path}/errors", limit=limit)
        run = rest.get(path)
    if as_json:
        emit(found)
        return
    if run["failureReason"] is not None:
        note(f"the run failed: {run['failureReason']}")
    if not found["total"]:
        note("no row was rejected")
        return
    table = grid("row", "column", "value", "error")
    for each in found["errors"]:
        table.add_row(*(cell(each[name]) for name in ("row", "column", "value", "error")))
    show(table)
    if found["total"] > len(found["errors"]):
        note(f"{len(found['errors'])} of {found['total']:,}; --csv gives all")


def retry(
    pipeline: Pipeline,
    run_id: RunId = None,
    watched: Watch = False,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Run a failed run on behind what it committed, or the failed rows of a completed one again.

    Exit codes with --watch are those of `headrace run`.
    """
    with connect(url, api_key, data_dir) as rest:
        found = find_pipeline(rest, pipeline)
        started = rest.post(f"/pipelines/{found['id']}/runs/{run_id or _newest(rest, found)}/retry")
        if not as_json:
            for line in started["log"]:
                say(line["message"])
        _follow(rest, found, started, watched=watched, as_json=as_json)


def cancel(
    pipeline: Pipeline,
    run_id: RunId = None,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Stop a run; what it committed stays, and a retry goes on behind it."""
    with connect(url, api_key, data_dir) as rest:
        asked = rest.post(f"{_path_of(rest, pipeline, run_id)}/cancel")
    if as_json:
        emit(asked)
    else:
        say(f"{asked['id']} is being stopped")


def _follow(rest: Rest, pipeline: dict[str, object], started: dict[str, Any], *, watched: bool, as_json: bool) -> None:
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
        hint = "`headrace retry` goes on behind what it committed."
        if run["failureReason"] == CANCELLED:
            raise StackError("The run was cancelled.", hint)
        if any(rule["onFail"] == "abort" and not rule["holds"] for rule in run.get("datasetRules", [])):
            hint = "Mend the file or the rule, then `headrace retry`: it reads all rows again."
            if last["rowsOut"]:
                hint = "Mend the file or the rule, then start a new run: a retry would judge the same rows again."
        raise StackError(f"The run failed: {run['failureReason']}", hint)
    if last["status"] == "completed_with_errors":
        if not as_json:
            note("`headrace errors` shows the rejected cells")
        raise typer.Exit(NOTEWORTHY)


def _path_of(rest: Rest, pipeline: str, run_id: str | None) -> str:
    found = find_pipeline(rest, pipeline)
    return f"/pipelines/{found['id']}/runs/{run_id or _newest(rest, found)}"


def _newest(rest: Rest, pipeline: dict[str, object]) -> str:
    found = rest.get(f"/pipelines/{pipeline['id']}/runs")
    if not found:
        raise StackError(f"The pipeline '{pipeline['name']}' has not run yet.", "`headrace run` starts it.")
    return str(found[0]["id"])


def _parameters(given: list[str]) -> dict[str, str]:
    pairs = [each.partition("=") for each in given]
    wrong = [name for name, equals, _ in pairs if not equals or not name]
    if wrong:
        raise typer.BadParameter(f"'{wrong[0]}' is not NAME=VALUE", param_hint="--param")
    return {name: value for name, _, value in pairs}


def _coloured(value: object) -> str:
    colour = COLOURS.get(str(value))
    return f"[{colour}]{value}[/{colour}]" if colour else cell(value)
