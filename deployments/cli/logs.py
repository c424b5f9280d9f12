"""`headrace logs`: the log of a run, all of it or its end, and as it goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

import typer

from headrace.deployments.cli.options import ApiKey, DataDir, Json, Pipeline, RunId, Url, connect
from headrace.deployments.cli.output import emit, say
from headrace.deployments.cli.rest import Rest, run_path
from headrace.deployments.stack.layout import DEFAULT_DATA_DIR

_POLL_S = 1.0
_MOST_TAIL = 10_000


class _Level(StrEnum):
    info = "info"
    warning = "warning"
    error = "error"


def logs(
    pipeline: Pipeline,
    run_id: RunId = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    tail: Annotated[
        int | None, typer.Option("--tail", "-n", min=1, max=_MOST_TAIL, help="Begin with the newest so many lines.")
    ] = None,
    level: Annotated[_Level, typer.Option(help="Only lines of at least this level.")] = _Level.info,
    search: Annotated[str | None, typer.Option(help="Only lines with this text, in any case.")] = None,
    stage: Annotated[str | None, typer.Option(help="Only lines about this part of the run, such as load.")] = None,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Print the log of a run: what it read, waited for, loaded, and why it ended.

    With --json a list; with --follow too, a line of JSON for each line.
    """
    meant = {"level": level.value, "q": search, "stage": stage}
    with connect(url, api_key, data_dir) as rest:
        lines = _lines(rest, f"{run_path(rest, pipeline, run_id)}/log", meant, follow=follow, tail=tail)
        if as_json and not follow:
            emit(list(lines))
            return
        for each in lines:
            if as_json:
                emit(each)
            else:
                named = f"{each['level'].upper()}: " if "level" in each else ""
                say(f"{each['timestamp']} {each['stage']:9} {named}{each['message']}")


def _lines(rest: Rest, path: str, meant: dict[str, Any], *, follow: bool, tail: int | None) -> Iterator[dict[str, Any]]:
    """The lines that match. While the run waits for others, the reason is one, unless only some lines are wanted."""
    page = rest.get(path, **meant, tail=tail)
    said = None
    everything = meant["level"] == _Level.info and not meant["q"] and not meant["stage"]
    while True:
        yield from page["lines"]
        waiting = page["waiting"]
        if waiting is not None and waiting["message"] != said and everything:
            said = waiting["message"]
            yield waiting
        if not page["more"]:
            if page["ended"] or not follow:
                return
            time.sleep(_POLL_S)
        page = rest.get(path, **meant, after=page["last"])
