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
from benchmarks.orders import write_orders

READ = 2.1
"""Bytes read per byte of the file: once to find where its rows end, once to parse them."""


BAD_ROWS = {"python": 2_750, "polars": 400, "queries": 20}
"""Calls that a batch with bad rows needs more than one without, however many they are: their cells, the texts that the
source has in these places, where they come from, and their encoding."""


def _counted(
    folder: Path, url: str, dataset: Dataset, rows: int, *, form: str = "csv", bad_share: float | None = None
) -> dict[str, int]:
    """With `bad_share`, orders of which a rule refuses so many."""
    file = folder / f"{dataset.name}.csv"
    if bad_share is None:
        dataset.write(file, rows)
    else:
        write_orders(file, rows, bad_share=bad_share)
    if form == "jsonl":
        csv, file = file, file.with_suffix(".jsonl")
        pl.scan_csv(csv).sink_ndjson(file)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {tables.name_of(dataset)}".encode())
        connection.execute(tables.definition(dataset, "no index").encode())
    command = [sys.executable, "-m", "tests.flows.runtime.hot_path", str(file), url, dataset.name]
    command += [] if bad_share is None else ["rules"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="bytes that a process reads are counted on Linux only")
@pytest.mark.parametrize(
    ("name", "form", "python", "polars", "queries"),
    [("orders", "csv", 4_400, 570, 14), ("text", "csv", 10_000, 1_400, 5), ("orders", "jsonl", 13_100, 650, 12)],
)
def test_more_rows_cost_only_their_batches(
    tmp_path: Path, postgres_url: str, name: str, form: str, python: int, polars: int, queries: int
) -> None:
    """The difference of two loads, so that what a run costs once is not in it."""
    fewer, more = (_counted(tmp_path, postgres_url, DATASETS[name], rows, form=form) for rows in (200_000, 600_000))
    added = {key: more[key] - fewer[key] for key in fewer}
    assert added["batches"] > 0
    assert added["rows"] / added["batches"] > 2_000, "the batches are too small to tell rows from batches"
    assert added["read"] / added["size"] <= READ
    per_batch = {key: added[key] / added["batches"] for key in ("python", "polars", "queries")}
    assert per_batch["python"] <= python
    assert per_batch["polars"] <= polars
    assert per_batch["queries"] <= queries


@pytest.mark.slow
@pytest.mark.postgres
@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="bytes that a process reads are counted on Linux only")
def test_calls_do_not_grow_with_the_bad_rows_of_a_batch(tmp_path: Path, postgres_url: str) -> None:
    none, few, many = (
        _counted(tmp_path, postgres_url, DATASETS["orders"], 200_000, bad_share=share) for share in (0, 0.01, 0.3)
    )
    assert none["failed"] == 0
    assert 1_500 < few["failed"] < 2_500
    assert 55_000 < many["failed"] < 65_000
    assert none["batches"] == few["batches"] == many["batches"]
    for key, most in BAD_ROWS.items():
        assert (few[key] - none[key]) / none["batches"] <= most, key
        assert (many[key] - few[key]) / none["batches"] <= most / 20, key
