"""What the demo prints: the progress of its run and its totals."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Table

from headrace.deployments.demo.client import Client
from headrace.deployments.errors import HeadraceError

FINAL = ("completed", "completed_with_errors", "failed")
_POLL_SECONDS = 0.2
_PENDING_SECONDS = 90.0
_STALLED_SECONDS = 120.0


def watch_run(client: Client, path: str, console: Console) -> tuple[dict[str, Any], float]:
    """Shows the progress of the run at `path` until it has ended; returns the last progress and the seconds it took.

    Raises StackError when the run does not start within 90 s, or makes no progress for 120 s.
    """
    began = moved = time.monotonic()
    seen = (-1, "")
    with _display(console) as display:
        task = display.add_task("", total=None, rate="", partitions="", left="")
        while True:
            progress: dict[str, Any] = client.get(f"{path}/progress")
            elapsed = time.monotonic() - began
            if (progress["processedRows"], progress["status"]) != seen:
                seen, moved = (progress["processedRows"], progress["status"]), time.monotonic()
            _show_progress(display, task, progress, elapsed, console)
            if progress["status"] in FINAL:
                return progress, elapsed
            patience = _PENDING_SECONDS if progress["status"] == "pending" else _STALLED_SECONDS
            if time.monotonic() - moved > patience:
                raise HeadraceError(
                    f"The run has been {progress['status']} without progress for {patience:.0f} s.",
                    "The worker's log may say why.",
                )
            time.sleep(_POLL_SECONDS)


class _Lines(Progress):
    """The display without a terminal: `_show_progress` prints at most a line per second."""

    last = 0.0


def _display(console: Console) -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:9}"),
        BarColumn(bar_width=30),
        TextColumn("{task.completed:>9,.0f} rows"),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[partitions]}"),
        TextColumn("{task.fields[left]}"),
    )
    kind = Progress if console.is_terminal else _Lines
    return kind(*columns, console=console, transient=True, disable=not console.is_terminal)


def _show_progress(display: Progress, task: TaskID, progress: dict[str, Any], elapsed: float, console: Console) -> None:
    done, total = progress["processedRows"], progress["totalRows"]
    running_seconds = progress["durationMs"] / 1000
    rate = f"{done / running_seconds:,.0f} rows/s" if done and running_seconds > 0 else ""
    partitions = f"{progress['completedPartitions']}/{progress['partitions']} partitions" if total else ""
    left = f"ETA {progress['eta']}" if progress["eta"] else ""
    display.update(
        task,
        description=progress["status"],
        completed=done,
        total=total or None,
        rate=rate,
        partitions=partitions,
        left=left,
    )
    if isinstance(display, _Lines) and (elapsed - display.last >= 1 or progress["status"] in FINAL):
        display.last = elapsed
        parts = [f"{done:,} of {total:,} rows" if total else "", rate, partitions, left]
        console.print(f"{elapsed:5.1f} s  {progress['status']:9} " + ", ".join(part for part in parts if part))


_COUNTERS = (("rowsIn", "in"), ("rowsOut", "out"), ("failed", "failed"), ("skipped", "skipped"), ("warned", "warned"))


def print_report(
    console: Console, run: dict[str, Any], errors: dict[str, Any], seconds: float, *, order: list[str]
) -> None:
    """Prints a run's totals, the counters of its nodes in `order`, its first errors and its speed.

    `seconds` is the duration that the client measured.
    """
    totals = run["statistics"]
    table = Table(title=f"Run {run['id']}: {run['status']}", title_justify="left", title_style="bold")
    table.add_column("node")
    for _, title in _COUNTERS:
        table.add_column(title, justify="right")
    for node in sorted(run["nodeResults"], key=lambda node: order.index(node["nodeId"])):
        counters = node["counters"]
        table.add_row(node["nodeId"], *(f"{counters.get(name, 0):,}" for name, _ in _COUNTERS))
    table.add_section()
    table.add_row(
        "whole run",
        *(f"{totals[name] or 0:,}" for name in ("rowsIn", "rowsOut", "failedRows", "skippedRows")),
        "",
        style="bold",
    )
    console.print(table)
    if errors["errors"]:
        listing = Table(title=f"First of {errors['total']:,} errors", title_justify="left", title_style="bold")
        for title in ("row", "column", "value", "error"):
            listing.add_column(title, justify="right" if title == "row" else "left")
        for error in errors["errors"]:
            cells = (f"{error['row']:,}", error["column"] or "", error["value"] or "", error["error"])
            listing.add_row(*(escape(cell) for cell in cells))
        console.print(listing)
    rows, own = totals["rowsIn"] or 0, totals["durationMs"] / 1000
    speed = f"{rows / own:,.0f} rows/s" if own > 0 else ""
    console.print(
        f"[bold]{rows:,} rows in {own:.2f} s: {speed}[/bold] "
        f"({seconds:.2f} s from the request to the end, as the client saw it)"
    )
