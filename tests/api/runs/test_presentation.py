"""Formatting of responses: estimated time left, content negotiation, CSV escaping, cursors, timestamps."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.api.connectors.service import split_secrets
from headrace.api.pagination import decode_cursor, encode_cursor
from headrace.api.runs.csv_export import escaped, prefers_csv
from headrace.api.runs.progress import eta, progress_of
from headrace.api.wire import timestamp
from headrace.catalog.runs.records import PartitionCounts, PartitionStatus, RunSnapshot

START = datetime(2026, 1, 15, 9, tzinfo=UTC)
AFTER = START + timedelta(seconds=10)

PARTITION = PartitionCounts(
    stage=0,
    index=0,
    planned_rows=1000,
    status="running",
    rows_in=100,
    rows_out=100,
    failed=0,
    skipped=0,
    base_rows=0,
    updated_at=AFTER,
)
RUN = RunSnapshot(
    id="run_1",
    tenant_id="default",
    pipeline_id="pipe_1",
    ir_version=1,
    root_run_id="run_1",
    retry_of=None,
    origin_run_id=None,
    parameters={},
    status="running",
    load_strategy="append",
    total_rows=1000,
    rows_in=100,
    rows_out=100,
    failed_rows=0,
    skipped_rows=0,
    failure_reason=None,
    fingerprint=None,
    plan=None,
    created_at=START,
    started_at=START,
    measured_from=START,
    finished_at=None,
    touched_at=AFTER,
    observed_at=AFTER,
    partitions=(PARTITION,),
    nodes={},
    first_errors=(),
    log=(),
)


def planning(rows: int) -> RunSnapshot:
    return replace(RUN, total_rows=rows, partitions=(replace(PARTITION, planned_rows=rows),))


@pytest.mark.parametrize(
    ("total", "expected"),
    [(550, "45s"), (690, "59s"), (700, "1m"), (1900, "3m"), (36_000, "1.0h"), (43_300, "1.2h"), (101, "1s")],
)
def test_the_time_that_remains_is_said_in_its_unit(total: int, expected: str) -> None:
    # 10 rows a second
    assert eta(planning(total)) == expected


def test_rows_of_an_earlier_run_are_not_part_of_the_rate() -> None:
    resumed = replace(RUN, rows_in=900, partitions=(replace(PARTITION, rows_in=900, base_rows=800),))
    assert eta(resumed) == "10s"


def gathering(began: timedelta | None, status: PartitionStatus = "completed") -> PartitionCounts:
    at = None if began is None else START + began
    return replace(PARTITION, stage=1, planned_rows=0, rows_in=0, status=status, began_at=at)


def test_a_retry_is_measured_by_the_partitions_that_it_ran_itself() -> None:
    read = replace(PARTITION, status="completed", rows_in=1000, base_rows=1000)
    before, mine, left = gathering(None), gathering(timedelta(seconds=1)), gathering(None, "pending")
    retry = replace(RUN, retry_of="run_0", partitions=(read, before, before, mine, left))
    assert eta(retry) == "10s"  # one partition in ten seconds, and one left
    assert eta(replace(retry, partitions=(read, before, before, left))) is None
    again = replace(retry, partitions=(read, *[gathering(-timedelta(seconds=9))] * 2, mine, left))
    assert eta(again) == "10s"


def test_time_since_the_last_report_has_passed_too() -> None:
    late = replace(planning(550), observed_at=AFTER + timedelta(seconds=15))
    assert eta(late) == "2m"  # it grows while nothing is committed: 450 rows at 100 in 25 seconds


@pytest.mark.parametrize(
    "run",
    [
        replace(RUN, status="pending"),
        replace(RUN, status="completed"),
        replace(RUN, measured_from=None),
        planning(100),
        replace(RUN, partitions=(replace(PARTITION, base_rows=None),)),
        replace(RUN, partitions=(replace(PARTITION, base_rows=100),)),
        replace(RUN, observed_at=START),
    ],
)
def test_nothing_measured_is_no_estimate(run: RunSnapshot) -> None:
    assert eta(run) is None


def test_partitions_of_all_stages_are_numbered_through() -> None:
    two = (replace(PARTITION, status="completed"), replace(PARTITION, stage=1, planned_rows=0))
    details = progress_of(replace(RUN, partitions=two)).partition_details
    assert [(each.index, each.status, each.progress) for each in details] == [(0, "completed", None), (1, "running", 0)]


@pytest.mark.parametrize(
    ("accept", "csv"),
    [
        ("*/*", False),
        ("", False),
        ("application/json", False),
        ("text/csv", True),
        ("TEXT/CSV; charset=utf-8", True),
        ("text/csv;q=0.5, application/json", False),
        ("text/csv, application/json;q=0.5", True),
        ("text/csv, */*;q=0.1", True),
        ("text/csv;q=0", False),
        ("text/csv;q=x", False),
        ("text/html", False),
    ],
)
def test_the_accept_header_decides(accept: str, csv: bool) -> None:
    assert prefers_csv(accept) is csv


@pytest.mark.parametrize(
    "cell", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "-", "=", "-2e"]
)
def test_a_cell_a_spreadsheet_would_run_is_escaped(cell: str) -> None:
    assert escaped(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "-5", "+3.25", "-.5", "-1e9", "a=b", "1-2", "not-an-email", " =1"])
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert escaped(cell) == cell


@given(st.text())
def test_no_cell_ever_begins_like_a_formula(cell: str) -> None:
    out = escaped(cell)
    assert not out.startswith(("=", "@", "\t", "\r"))
    assert out.removeprefix("'") == cell.removeprefix("'")


def test_timestamps_have_milliseconds_and_z() -> None:
    tokyo = datetime.fromisoformat("2026-01-15T18:00:00.000999+09:00")
    assert timestamp(tokyo) == "2026-01-15T09:00:00.000Z"


@given(st.lists(st.integers() | st.text()))
def test_a_cursor_brings_back_its_place(position: list[int | str]) -> None:
    assert decode_cursor(encode_cursor(position)) == position


def test_what_looks_like_a_secret_is_parted_from_the_config() -> None:
    config = {"host": "h", "apiKey": "s", "dsn": "postgres://u:p@h/db", "nested": [{"clientSecret": "s"}], "port": 5432}
    shown, secret = split_secrets(config)
    assert shown == {"host": "h", "port": 5432}
    assert set(secret) == {"apiKey", "dsn", "nested"}
