"""`docs/performance.md` and its plots, from the stored results: `python -m benchmarks.report`, or `make docs`.

The prose is in `performance.md.in`, with `{{machines}}` where the results of each machine come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.comparison import Comparison
from benchmarks.growth_report import grown, growth_plots
from benchmarks.plots import Bar, bars

_DOCS = Path(__file__).parents[1] / "docs"
_TEMPLATE = Path(__file__).with_name("performance.md.in")
_GROUPS = {
    "append": "Files into tables",
    "format": "Formats and S3",
    "graph": "Joins, aggregates and deduplication, against DuckDB",
    "postgresql": "PostgreSQL to PostgreSQL",
    "peers": "Beside dlt and Sling",
}
_BUSY_PERCENT = 25
_PLAIN_PARTS = ("loading process", "PostgreSQL")

Stored = Mapping[str, Any]


def pages() -> dict[str, str]:
    """The page and its images by their path in `docs/`."""
    made: dict[str, str] = {}
    parts = []
    for machine, found in results.stored():
        quiet, busy = _apart(found)
        plots = dict(_plots(machine, quiet))
        curves = dict(growth_plots(machine, quiet))
        made |= plots | curves
        parts.append("\n".join([*_machine(found, quiet, list(plots), machine), *_busy(busy, machine)]))
    text = _TEMPLATE.read_text(encoding="utf-8")
    return {"performance.md": text.replace("{{machines}}", "\n\n".join(parts).strip()), **made}


def _apart(found: Stored) -> tuple[Stored, Stored]:
    """The results of the machine while it was quiet, and of the machine while other programs used it before the
    benchmark began."""
    quiet, busy = dict[str, Any](), dict[str, Any]()
    for name, each in found["benchmarks"].items():
        used = each["others"] if "others" in each else 50 * each["load"][0] / found["machine"]["cores"]
        (busy if used > _BUSY_PERCENT else quiet)[name] = each
    return quiet, busy


def _machine(found: Stored, benchmarks: Stored, plots: Sequence[str], name: str) -> Iterator[str]:
    """The section of one machine."""
    machine = found["machine"]
    yield f"## Measured on {machine['cores']} cores of {machine['processor']}"
    yield ""
    about = f"{machine['memory']} GB of memory, {machine['system']}; all servers and programs share it."
    yield f"{about} {_when(benchmarks)}"
    yield ""
    yield from _versions(found["benchmarks"])
    for plot in plots:
        yield from (f"![{plot.rpartition('/')[2].removesuffix('.svg')}]({plot})", "")
    yield from _losses(benchmarks)
    yield from _results(benchmarks, name)


def _busy(benchmarks: Stored, name: str) -> Iterator[str]:
    """What was measured while other programs used the machine."""
    if benchmarks:
        yield from ("### Measured while other programs ran", "")
        yield (
            "**These are not the seconds of a quiet machine**, and a ratio may be off by a third. They are in no plot"
            f" and not among the losses, until `make bench` has measured them again. {_when(benchmarks)}"
        )
        yield ""
        yield from _results(benchmarks, name, plots=False)


def _results(benchmarks: Stored, machine: str, *, plots: bool = True) -> Iterator[str]:
    """A table for each group of comparisons, the curves, and what the others print."""
    for group, title in _GROUPS.items():
        measured = {name: each for name, each in benchmarks.items() if name.startswith(f"{group}/")}
        if measured:
            yield from (f"{'###' if plots else '####'} {title}", "", *_table(measured), "")
    yield from grown(benchmarks, machine, plots=plots)
    yield from _printed(benchmarks)


def _when(benchmarks: Stored) -> str:
    """When it was measured, and under which load."""
    if not benchmarks:
        return ""
    times = sorted(each["measured"] for each in benchmarks.values())
    loads = [load for each in benchmarks.values() for load in each["load"]]
    between = times[0] if times[0] == times[-1] else f"{times[0]} to {times[-1]}"
    return f"{between}, load average {min(loads)} to {max(loads)}."


def _versions(benchmarks: Stored) -> Iterator[str]:
    """The versions, each as often as it changed between the benchmarks."""
    names = dict.fromkeys(name for each in benchmarks.values() for name in each["versions"])
    shown = []
    for name in names:
        values = dict.fromkeys(each["versions"][name] for each in benchmarks.values() if name in each["versions"])
        shown.append(f"{name} {', '.join(values)}")
    yield from (f"Versions: {'; '.join(shown)}.", "")


def _table(measured: Stored) -> Iterator[str]:
    cpu = "CPU s: loading + PostgreSQL (+ Prefect and API)"
    yield f"| what | tool | seconds | time / fastest plain tool's | {cpu} | MB | load |"
    yield "|---|---|---|---|---|---|---|"
    for stored in measured.values():
        for each in _comparisons(stored):
            about = f"{each.subject}, {each.rows:,} rows{_size(each)}, {_rounds(stored)}"
            for way in each.taken:
                beside = each.median(way, "beside")
                cpu = f"{each.median(way, 'client'):.2f} + {each.median(way, 'server'):.2f}"
                cells = (
                    about,
                    f"`{_cell(way)}`" if way in each.plain else f"**{way}**" if way.startswith("headrace") else way,
                    f"{each.median(way):.2f}",
                    f"{each.ratio(way):.2f}",
                    f"{cpu} (+ {beside:.2f})" if beside else cpu,
                    f"{each.median(way, 'memory'):.0f}",
                    " → ".join(map(str, stored["load"])) if about else "",
                )
                yield f"| {' | '.join(cells)} |"
                about = ""


def _losses(benchmarks: Stored) -> Iterator[str]:
    """Each load in which Headrace is slower than the fastest plain tool, the worst first."""
    slower = sorted(
        ((each.ratio(way), each, way) for each, way in _ours(benchmarks) if each.ratio(way) > 1),
        key=lambda found: -found[0],
    )
    every = len(list(_ours(benchmarks)))
    yield from ("### Where Headrace loses", "")
    if not slower:
        yield from (f"In none of {every} loads.", "")
        return
    yield f"In {len(slower)} of {every} loads it takes longer than the fastest plain tool, which checks nothing:"
    yield ""
    for ratio, each, way in slower:
        variant = way.removeprefix("headrace").removeprefix(", ")
        cpu = [f"{each.median(one, 'client'):.2f} + {each.median(one, 'server'):.2f} s" for one in (way, each.best)]
        name = f"{each.subject} ({variant})" if variant else each.subject
        yield f"- {name}: {ratio:.2f} times `{each.best}`; CPU {cpu[0]} against {cpu[1]}"
    yield ""


def _printed(benchmarks: Stored) -> Iterator[str]:
    printed = {name: each for name, each in benchmarks.items() if "printed" in each}
    if printed:
        yield from (
            "#### Other benchmarks",
            "",
            "As they print it; `--help` or the module's first lines explain each.",
            "",
        )
    for name, each in printed.items():
        load = " → ".join(map(str, each["load"]))
        yield from (f"`{name}`, {each['measured']}, load {load}:", "", "```text", *each["printed"], "```", "")


def _plots(machine: str, benchmarks: Stored) -> Iterator[tuple[str, str]]:
    ratios = [Bar(_label(each, way), [each.ratio(way)], f"{each.ratio(way):.2f}") for each, way in _ours(benchmarks)]
    if not ratios:
        return
    title = "Time as a multiple of the fastest plain tool's (left of the line: faster)"
    yield f"images/performance-{machine}-time.svg", bars(title, ratios, line=1.0)
    cpu = []
    for each in (each for stored in benchmarks.values() for each in _comparisons(stored)):
        for way in (each.best, "headrace"):
            if way in each.taken:
                parts = [each.median(way, "client") / each.rows * 1e6, each.median(way, "server") / each.rows * 1e6]
                note = " + ".join(f"{part:.2f}" for part in parts)
                cpu.append(Bar(_label(each, way), parts, note, muted=way in each.plain))
    title = "CPU seconds per million rows"
    yield f"images/performance-{machine}-cpu.svg", bars(title, cpu, legend=_PLAIN_PARTS)


def _ours(benchmarks: Stored) -> Iterator[tuple[Comparison, str]]:
    for stored in benchmarks.values():
        for each in _comparisons(stored):
            yield from ((each, way) for way in each.taken if way.startswith("headrace"))


def _comparisons(stored: Stored) -> list[Comparison]:
    return [Comparison.read(each) for each in stored.get("comparisons", ())]


def _label(each: Comparison, way: str) -> str:
    variant = way.removeprefix("headrace, ")
    return each.subject if variant == "headrace" else f"{each.subject}: {variant}"


def _size(each: Comparison) -> str:
    return f", {each.size / 1e6:,.0f} MB" if each.size else ""


def _rounds(stored: Stored) -> str:
    return "1 round" if stored["rounds"] == 1 else f"median of {stored['rounds']}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    for name, content in pages().items():
        (_DOCS / name).write_text(content, encoding="utf-8")
