"""Shows the progress of a run: live on a terminal, as lines elsewhere, or as JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from headrace.deployments.cli.output import emit, grid, out, say
from headrace.deployments.cli.rest import Rest

FINAL = ("completed", "completed_with_errors", "failed")
COLOURS = {"completed": "green", "completed_with_errors": "yellow", "failed": "red"}

_POLL_S = 0.3
_LINE_S = 1.0
_PARTITIONS = 16


def watch(rest: Rest, path: str, *, as_json: bool) -> dict[str, Any]:
    """Shows the run at `path` until it has ended; returns its last progress."""
    if as_json:
        return _as_json(rest, path)
    if not out.is_terminal:
        return _as_lines(rest, path)
    last: dict[str, Any] = {}
    with Live(console=out, refresh_per_second=8, transient=True) as live:
        for last in _poll(rest, path):
            live.update(_rendered(last))
    return last


def summary(progress: dict[str, Any]) -> str:
    """The status and counts of a run in one line."""
    counts = [
        f"{progress[name]:,} {word}"
        for name, word in (("rowsIn", "in"), ("rowsOut", "out"), ("failedRows", "failed"), ("skippedRows", "skipped"))
        if progress[name] is not None
    ]
    return f"{progress['status']}: {', '.join(counts)}, {progress['durationMs'] / 1000:.1f} s"


def _poll(rest: Rest, path: str) -> Iterator[dict[str, Any]]:
    while True:
        progress: dict[str, Any] = rest.get(f"{path}/progress")
        yield progress
        if progress["status"] in FINAL:
            return
        time.sleep(_POLL_S)


def _as_json(rest: Rest, path: str) -> dict[str, Any]:
    last: dict[str, Any] = {}
    for progress in _poll(rest, path):
        if _has_progressed(last, progress):
            emit(progress)
        last = progress
    return last


def _has_progressed(before: dict[str, Any], after: dict[str, Any]) -> bool:
    return any(before.get(name) != after[name] for name in ("status", "processedRows", "completedPartitions"))


def _as_lines(rest: Rest, path: str) -> dict[str, Any]:
    last: dict[str, Any] = {}
    printed_at = float("-inf")
    for progress in _poll(rest, path):
        waits = _waits_for(progress)
        moved = _has_progressed(last, progress) and time.monotonic() - printed_at >= _LINE_S
        if (moved or (waits and waits != _waits_for(last))) and progress["status"] not in FINAL:
            printed_at = time.monotonic()
            say(_line(progress))
        last = progress
    return last


def _waits_for(progress: dict[str, Any]) -> str:
    """Why a run waits, the newest line of its log; empty for one that does not."""
    lines = progress.get("log") if progress.get("status") == "pending" else None
    return str(lines[-1]["message"]) if lines and lines[-1]["stage"] in ("queue", "run") else ""


def _line(progress: dict[str, Any]) -> str:
    total = f" of {progress['totalRows']:,}" if progress["totalRows"] else ""
    parts = [f"{progress['processedRows']:,}{total} rows"]
    if progress["partitions"]:
        parts.append(f"{progress['completedPartitions']}/{progress['partitions']} partitions")
    if progress["eta"]:
        parts.append(f"{progress['eta']} left")
    if waits := _waits_for(progress):
        parts.append(waits)
    return f"{progress['status']:8} {', '.join(parts)}"


def _rendered(progress: dict[str, Any]) -> Group:
    colour = COLOURS.get(progress["status"], "cyan")
    head = f"[{colour}]{progress['status']}[/{colour}]  {escape(_line(progress)[8:].strip())}"
    if progress["failedRows"]:
        head += f"  [red]{progress['failedRows']:,} failed[/red]"
    details = progress["partitionDetails"]
    running = [each for each in details if each["status"] not in ("completed", "pending")]
    shown = (running + [each for each in details if each not in running])[:_PARTITIONS]
    table: Table = grid("partition", "status", "rows", "")
    for each in sorted(shown, key=lambda each: each["index"]):
        done = 100 if each["status"] == "completed" else each.get("progress", 0)
        table.add_row(str(each["index"]), each["status"], f"{each['rows']:,}", ProgressBar(100, done, width=30))
    if len(details) > len(shown):
        table.add_row("…", f"{len(details) - len(shown)} more", "", "")
    return Group(head, table) if details else Group(head)
