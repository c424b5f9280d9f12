"""The progress of a run, over reading, gathering and publishing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from headrace.catalog.runs.records import PartitionCounts

_PUBLISHING = -1


def share_done(partitions: Iterable[PartitionCounts], *, before: datetime | None = None) -> float:
    """Returns the share of a run that is done, from 0.0 to 1.0. All stages have the same weight, and so has publishing.
    Stages that read sources are measured by rows. Others are measured by partitions, as how many rows they have is only
    known once they run; one that runs counts with its share of its rows. `before`: the share that was done before the
    current attempt, which began then.
    """
    reading, others = _parts(partitions)
    if not reading and not others:
        return 0.0
    read = [each for parts in reading for each in parts]
    counted = sum(_read(each, only_before=before is not None) for each in read)
    done = len(reading) * min(1.0, counted / _planned(read)) if reading else 0.0
    done += sum(sum(_share(each, before) for each in parts) / len(parts) for parts in others)
    return done / (len(reading) + len(others))


def only_reads(partitions: Iterable[PartitionCounts]) -> bool:
    """Whether all stages read sources: there is no shuffle stage and no publication."""
    return not _parts(partitions)[1]


def _parts(partitions: Iterable[PartitionCounts]) -> tuple[list[list[PartitionCounts]], list[list[PartitionCounts]]]:
    """Returns the partitions of each stage that reads sources, and of each other stage; all publications are one
    stage."""
    stages: dict[int, list[PartitionCounts]] = defaultdict(list)
    for each in partitions:
        stages[max(each.stage, _PUBLISHING)].append(each)
    reading = [parts for parts in stages.values() if _planned(parts)]
    return reading, [parts for parts in stages.values() if not _planned(parts)]


def _planned(partitions: Iterable[PartitionCounts]) -> int:
    return sum(each.planned_rows for each in partitions if each.stage > _PUBLISHING and each.gathered_rows is None)


def _read(each: PartitionCounts, *, only_before: bool) -> int:
    return (each.rows_in if each.base_rows is None else each.base_rows) if only_before else each.rows_in


def _share(each: PartitionCounts, before: datetime | None) -> float:
    """The share of a partition that reads no source, or of one whose rows are not known before it has read them."""
    if before is not None and each.began_at is not None and each.began_at >= before:
        return 0.0
    if each.status == "completed":
        return 1.0
    if before is not None:
        return 0.0
    return min(1.0, each.gathered_rows / each.planned_rows) if each.gathered_rows and each.planned_rows else 0.0
