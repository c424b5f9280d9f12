"""The part of the page about how cost grows: a plot and a sentence for each curve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.growth import CURVES, Curve, cpu, median
from benchmarks.plots import lines

_PARTS = {"CPU: loading": "client", "CPU: PostgreSQL": "server", "CPU: Prefect and API": "beside"}

Stored = Mapping[str, Any]


def growth_plots(machine: str, benchmarks: Stored) -> Iterator[tuple[str, str]]:
    """The image of each curve that was measured, by its path in `docs/`."""
    for name, curve, points in _measured(benchmarks):
        seconds = {"on the clock": [(each["x"], median(each) / each["units"]) for each in points]}
        parts = {
            label: [(each["x"], median(each, part) / each["units"]) for each in points]
            for label, part in _PARTS.items()
        }
        yield _path(machine, name), lines(f"Seconds per {curve.per}", curve.x, seconds | parts)


def grown(benchmarks: Stored, machine: str, *, plots: bool) -> Iterator[str]:
    """The section with all curves that were measured."""
    if list(_measured(benchmarks)):
        yield from (f"{'###' if plots else '####'} How cost grows", "")
    for name, curve, points in _measured(benchmarks):
        if plots:
            yield from (f"![growth-{name}]({_path(machine, name)})", "")
        yield from (f"**{name.replace('_', ' ').capitalize()}.** {_sentence(curve, points)}", "")


def _measured(benchmarks: Stored) -> Iterator[tuple[str, Curve, list[Stored]]]:
    for name, curve in CURVES.items():
        if found := benchmarks.get(f"growth/{name}"):
            yield name, curve, found["curve"]["points"]


def _sentence(curve: Curve, points: list[Stored]) -> str:
    first, last = points[0], points[-1]
    each = [cpu(point) / point["units"] for point in points]
    clock = [median(point) / point["units"] for point in (first, last)]
    memory = [median(point, "memory") for point in (first, last)]
    resident = f", memory from {memory[0]:.0f} to {memory[1]:.0f} MB" if all(memory) else ""
    return (
        f"{curve.about} From {first['x']:,} to {last['x']:,} {curve.x}, CPU seconds per {curve.per} go from"
        f" {each[0]:.2f} to {each[-1]:.2f} ({each[-1] / each[0]:.2f} times; between {min(each):.2f} and"
        f" {max(each):.2f}), seconds on the clock from {clock[0]:.2f} to {clock[1]:.2f}{resident}. {curve.explained}"
    )


def _path(machine: str, name: str) -> str:
    return f"images/performance-{machine}-growth-{name.replace('_', '-')}.svg"
