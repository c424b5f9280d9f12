"""The stages of a run: how far they are, how fast, and when their partitions ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from headrace.catalog.runs.records import PartitionCounts, PartitionStatus, RunSnapshot
from headrace.catalog.runs.stages import StageRows, stages_of

_MAX_BARS = 40
"""Partitions of a stage that have a bar each; of more, the stage has one bar."""
_TEXT_HEIGHT, _BAR_HEIGHT, _GAP = 20, 7, 10


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage with its times. `rate` is in rows per second, `left` and `seconds` in seconds; None where nothing can be
    measured."""

    rows: StageRows
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


def timed_stages(run: RunSnapshot) -> list[Stage]:
    """The stages in the order in which they run; publications come last."""
    return [_timed(run, each) for each in stages_of(run)]


def gantt_of(run: RunSnapshot) -> Gantt | None:
    """The chart; None for a run without partitions that began."""
    began = [each.began_at for each in run.partitions if each.began_at is not None]
    if not began or run.lags is not None:
        return None
    start, end = min(began), run.finished_at or run.observed_at
    whole = max((end - start).total_seconds(), 0.001)
    names, bars, y = list[tuple[int, str]](), list[Bar](), 0
    for stage in stages_of(run):
        ran = [each for each in stage.partitions if each.began_at is not None]
        if not ran:
            continue
        names.append((y + 13, stage.name))
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


def _timed(run: RunSnapshot, stage: StageRows) -> Stage:
    parts = stage.partitions
    began = [each.began_at for each in parts if each.began_at is not None]
    ended = run.finished_at or run.observed_at
    seconds = (max(_ended(each, ended) for each in parts) - min(began)).total_seconds() if began else None
    here = stage.done - sum(each.base_rows or 0 for each in parts)
    rate = here / seconds if seconds and here > 0 else None
    planned = sum(each.planned_rows for each in parts)
    if stage.status != "running" or rate is None or not seconds:
        left = None
    elif all(each.gathered_rows is None for each in parts):
        left = (planned - stage.done) / rate if planned > stage.done else None
    else:
        left = seconds * (1 - stage.share) / stage.share if 0 < stage.share < 1 else None
    return Stage(stage, seconds, rate, left)


def _ended(each: PartitionCounts, now: datetime) -> datetime:
    return now if each.status == "running" else max(each.updated_at, each.began_at or each.updated_at)
