"""How far a run is: never all of it before all of it is done."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from headrace.catalog.runs.progress import only_reads, share_done
from headrace.catalog.runs.records import PartitionCounts, PartitionStatus

HOUR = timedelta(hours=1)


def part(
    stage: int, rows: int, planned: int, status: PartitionStatus = "running", base: int | None = 0
) -> PartitionCounts:
    return PartitionCounts(stage, 0, planned, status, rows, rows, 0, 0, base, datetime.now(UTC))


def test_where_rows_are_only_read_it_is_their_share() -> None:
    parts = [part(0, 250, 500), part(1, 0, 500, "pending")]
    assert share_done(parts) == 0.25
    assert only_reads(parts)


@pytest.mark.parametrize(
    ("shuffling", "publishing", "share"),
    [
        ("pending", "pending", 0.5),
        ("running", "pending", 0.5),
        ("completed", "pending", 0.75),
        ("completed",) * 2 + (1.0,),
    ],
)
def test_shuffling_and_publishing_count_too(shuffling: str, publishing: str, share: float) -> None:
    parts = [part(0, 10, 10), part(1, 90, 90), part(2, 0, 0, shuffling), part(-1, 0, 0, publishing)]
    assert share_done(parts) == share
    assert not only_reads(parts)


def test_all_publications_are_one_step() -> None:
    parts = [part(0, 10, 10), *(part(-target, 0, 0, "completed" if target == 1 else "pending") for target in (1, 2))]
    assert share_done(parts) == 0.75


def test_what_was_done_before_an_attempt_is_known() -> None:
    now = datetime.now(UTC)
    assert share_done([part(0, 60, 100, base=50)], before=now) == 0.5
    assert share_done([part(0, 60, 100, base=None)], before=now) == 0.6
    gathered = [replace(part(1, 0, 0, "completed"), began_at=began) for began in (now - HOUR, None, now + HOUR)]
    waits = part(1, 0, 0, "pending")
    assert share_done([*gathered, waits], before=now) == 0.5
    assert share_done([*gathered, waits]) == 0.75
    assert share_done([replace(part(1, 0, 200), gathered_rows=50, began_at=now)], before=now) == 0.0


def test_a_partition_that_gathers_rows_counts_with_the_share_of_them_that_is_done() -> None:
    read, gathers = part(0, 100, 100), part(1, 0, 200)
    gathers = replace(gathers, gathered_rows=50)
    waits = replace(gathers, index=1, status="pending", planned_rows=0, gathered_rows=None)
    assert share_done([read, gathers, waits]) == 0.5 + 0.5 * (0.25 / 2)
    assert not only_reads([read, gathers])
    assert share_done([read, replace(gathers, gathered_rows=200)]) == 1.0


def test_a_run_without_parts_is_not_done() -> None:
    assert share_done([]) == 0.0
