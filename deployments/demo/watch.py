"""Watches a run: a live line in a terminal, a plain line a second elsewhere."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

from deployments.demo.client import Client
from deployments.stack.errors import StackError

FINAL = ("completed", "completed_with_errors", "failed")
_LOOK_SECONDS = 0.2
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
            _show(display, task, progress, elapsed, console)
            if progress["status"] in FINAL:
                return progress, elapsed
            patience = _PENDING_SECONDS if progress["status"] == "pending" else _STALLED_SECONDS
            if time.monotonic() - moved > patience:
                raise StackError(
                    f"The run has been {progress['status']} without progress for {patience:.0f} s.",
                    "The worker's log may say why.",
                )
            time.sleep(_LOOK_SECONDS)


class _Lines(Progress):
    """The display where there is no terminal: `show` prints at most a line a second."""

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


def _show(display: Progress, task: TaskID, progress: dict[str, Any], elapsed: float, console: Console) -> None:
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
