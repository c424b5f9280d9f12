"""What the demo prints when its run has ended."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_COUNTERS = (("rowsIn", "in"), ("rowsOut", "out"), ("failed", "failed"), ("skipped", "skipped"), ("warned", "warned"))


def print_report(
    console: Console, run: dict[str, Any], errors: dict[str, Any], seconds: float, *, order: list[str]
) -> None:
    """Prints a run's totals, its nodes' counters in `order`, its first errors and its speed.

    `seconds` is the time the client saw.
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
