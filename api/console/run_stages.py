"""The stages of a run: how far they are, how fast, and when their partitions ran."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headrace.catalog.runs.records import TERMINAL, PartitionCounts, PartitionStatus, RunSnapshot

_MAX_BARS = 40
"""Partitions of a stage that have a bar each; of more, the stage has one bar."""
_TEXT_HEIGHT, _BAR_HEIGHT, _GAP = 20, 7, 10


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage. `rate` is in rows per second, `left` in seconds; both None where nothing can be measured."""

    name: str
    partitions: int
    completed: int
    status: str
    rows: int
    failed: int
    seconds: float | None
    rate: float | None
    left: float | None


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of the chart: from `x` for `width` percent of its time, `y` pixels from the top."""

    x: float
    width: float
    y: int
    status: str
    words: str


@dataclass(frozen=True, slots=True)
class Gantt:
    """When the partitions ran. `names` are (y, name of a stage); all are `height` pixels high and `seconds` long."""

    names: Sequence[tuple[int, str]]
    bars: Sequence[Bar]
    height: int
    seconds: float


def stages_of(run: RunSnapshot) -> list[Stage]:
    """The stages in the order in which they run; publications come last."""
    return [_stage(run, _name(run.plan, number), parts) for number, parts in _by_stage(run)]


def gantt_of(run: RunSnapshot) -> Gantt | None:
    """The chart; None for a run without partitions that began."""
    began = [each.began_at for each in run.partitions if each.began_at is not None]
    if not began or run.lags is not None:
        return None
    start, end = min(began), run.finished_at or run.observed_at
    whole = max((end - start).total_seconds(), 0.001)
    names, bars, y = list[tuple[int, str]](), list[Bar](), 0
    for number, parts in _by_stage(run):
        ran = [each for each in parts if each.began_at is not None]
        if not ran:
            continue
        name = _name(run.plan, number)
        names.append((y + 13, name))
        y += _TEXT_HEIGHT
        spans = [(each.began_at or start, _ended(each, end), each.status, f"partition {each.index}") for each in ran]
        if len(spans) > _MAX_BARS:
            states = {each.status for each in ran}
            status: PartitionStatus = (
                "failed" if "failed" in states else "running" if "running" in states else "completed"
            )
            first, last = min(each[0] for each in spans), max(each[1] for each in spans)
            spans = [(first, last, status, f"{len(ran)} partitions")]
        for first, last, status, words in spans:
            x = 100 * (first - start).total_seconds() / whole
            width = max(100 * (last - first).total_seconds() / whole, 0.3)
            took = f"{(last - first).total_seconds():.1f} s"
            bars.append(Bar(round(min(x, 99.7), 3), round(min(width, 100 - x), 3), y, status, f"{words}: {took}"))
            y += _BAR_HEIGHT + 2
        y += _GAP
    return Gantt(names, bars, max(y - _GAP, 1), whole)


def _by_stage(run: RunSnapshot) -> list[tuple[int, list[PartitionCounts]]]:
    found: dict[int, list[PartitionCounts]] = defaultdict(list)
    for each in run.partitions:
        found[each.stage].append(each)
    return sorted(found.items(), key=lambda item: (item[0] < 0, abs(item[0])))


def _stage(run: RunSnapshot, name: str, parts: Sequence[PartitionCounts]) -> Stage:
    completed = sum(each.status == "completed" for each in parts)
    began = [each.began_at for each in parts if each.began_at is not None]
    rows, planned = sum(each.rows_in for each in parts), sum(each.planned_rows for each in parts)
    ended = run.finished_at or run.observed_at
    seconds = (max(_ended(each, ended) for each in parts) - min(began)).total_seconds() if began else None
    here = rows - sum(each.base_rows or 0 for each in parts)
    rate = here / seconds if seconds and here > 0 else None
    if completed == len(parts):
        status = "completed"
    elif any(each.status == "failed" for each in parts) or (began and run.status in TERMINAL):
        status = "failed"
    else:
        status = "running" if began else "pending"
    left = (planned - rows) / rate if status == "running" and rate and planned > rows else None
    failed = sum(each.failed for each in parts)
    return Stage(name, len(parts), completed, status, rows, failed, seconds, rate, left)


def _ended(each: PartitionCounts, now: datetime) -> datetime:
    return now if each.status == "running" else max(each.updated_at, each.began_at or each.updated_at)


def _name(plan: Mapping[str, Any] | None, number: int) -> str:
    stages = (plan or {}).get("stages", ())
    if number < 0:
        return "publication of rows that were held back"
    return str(stages[number].get("name", f"stage {number}")) if number < len(stages) else f"stage {number}"
