"""What a load of good rows does per batch and per byte: a change that looks at the rows once more shows here, also on a
machine whose speed varies. The bounds are a tenth above what is needed now; whoever needs more says why here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import psycopg
import pytest

from benchmarks import tables
from benchmarks.datasets import DATASETS, Dataset

READ = 2.1
"""Bytes read per byte of the file: once to find where its rows end, once to parse them."""


def _counted(folder: Path, url: str, dataset: Dataset, form: str, rows: int) -> dict[str, int]:
    file = folder / f"{dataset.name}.csv"
    dataset.write(file, rows)
    if form == "jsonl":
        csv, file = file, file.with_suffix(".jsonl")
        pl.scan_csv(csv).sink_ndjson(file)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {tables.name_of(dataset)}".encode())
        connection.execute(tables.definition(dataset, "no index").encode())
    command = [sys.executable, "-m", "tests.flows.runtime.hot_path", str(file), url, dataset.name]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="bytes that a process reads are counted on Linux only")
@pytest.mark.parametrize(
    ("name", "form", "python", "polars", "queries"),
    [("orders", "csv", 5_300, 700, 33), ("text", "csv", 10_000, 1_400, 5), ("orders", "jsonl", 13_100, 650, 12)],
)
def test_more_rows_cost_only_their_batches(
    tmp_path: Path, postgres_url: str, name: str, form: str, python: int, polars: int, queries: int
) -> None:
    """The difference of two loads, so that what a run costs once is not in it."""
    fewer, more = (_counted(tmp_path, postgres_url, DATASETS[name], form, rows) for rows in (200_000, 600_000))
    added = {key: more[key] - fewer[key] for key in fewer}
    assert added["batches"] > 0
    assert added["rows"] / added["batches"] > 2_000, "the batches are too small to tell rows from batches"
    assert added["read"] / added["size"] <= READ
    per_batch = {key: added[key] / added["batches"] for key in ("python", "polars", "queries")}
    assert per_batch["python"] <= python
    assert per_batch["polars"] <= polars
    assert per_batch["queries"] <= queries
