"""Ops that need all rows do not hold all of them in memory: 20 million rows in a process of at most 1.5 GB, and wide
rows, whose width no plan knows, in less than the least limit of a run."""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.flows.runtime.graphs.world import Mill, source, target, transform

pytestmark = [pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(1800)]

ROWS = 20_000_000
CUSTOMERS = 5_000_000
LIMIT_BYTES = 1_500_000_000
WIDE_ROWS, WIDTH = 120_000, 6_000
WIDE_LIMIT_BYTES = 950_000_000


def orders(path: Path) -> None:
    """20 million orders of 5 million customers; the last of each is one of the last five million."""
    number = pl.int_range(1, ROWS + 1, dtype=pl.Int64).alias("id")
    columns = [
        (pl.col("id") * 7919 % CUSTOMERS).alias("customer"),
        ("order number " + pl.col("id").cast(pl.String)).alias("note"),
        (pl.col("id") % 1000).cast(pl.Int32).alias("amount"),
    ]
    pl.LazyFrame().select(number).with_columns(columns).sink_parquet(path, row_group_size=250_000)


def letters(path: Path) -> None:
    """720 MB of text in rows of 6 KB, two of each customer."""
    pool = random.Random(5).randbytes(1 << 20).hex()
    starts = [number * 7919 % (len(pool) - WIDTH) for number in range(WIDE_ROWS)]
    with path.open("w", encoding="ascii") as file:
        file.write("id,customer,note\n")
        file.writelines(
            f"{number},{number * 7919 % (WIDE_ROWS // 2)},{pool[start : start + WIDTH]}\n"
            for number, start in enumerate(starts)
        )


def run_wide(root: str, url: str) -> None:
    """In a process of its own."""
    fields = {"id": "bigint", "customer": "bigint", "note": "text"}
    lasts = {"type": "deduplicate", "keys": ["customer"], "orderBy": [{"field": "id", "direction": "desc"}]}
    nodes = [
        source("letters.csv", fields),
        transform("last", "src", lasts),
        transform("ordered", "src", {"type": "sort", "by": ["note"]}),
        {
            "id": "both",
            "kind": "join",
            "inputs": ["src", "last"],
            "type": "inner",
            "on": [{"left": "id", "right": "id"}],
        },
        transform("short", "both", {"type": "expression", "field": "note", "expression": "substring(note, 1, 10)"}),
        transform("head", "ordered", {"type": "expression", "field": "note", "expression": "substring(note, 1, 10)"}),
        target("joined", "short", "joined"),
        target("sorted", "head", "sorted"),
    ]
    Mill(Path(root), url).run(nodes, parallelism=2)
    print(json.dumps({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


def run(root: str, url: str) -> None:
    """In a process of its own."""
    fields = {"id": "bigint", "customer": "bigint", "note": "text", "amount": "integer"}
    amounts = [{"fn": "count", "as": "n"}, {"field": "amount", "fn": "sum", "as": "total"}]
    nodes = [
        source("orders.parquet", fields),
        transform("last", "src", {"type": "deduplicate", "keys": ["customer"], "keep": "last"}),
        transform("few", "last", {"type": "filter", "expression": "customer % 100 = 0"}),
        target("latest", "few", "latest"),
        transform("sums", "src", {"type": "aggregate", "groupBy": ["customer"], "aggregations": amounts}),
        transform("large", "sums", {"type": "filter", "expression": "customer % 100 = 1"}),
        target("totals", "large", "totals"),
    ]
    mill = Mill(Path(root), url)
    totals = mill.run(nodes, parallelism=2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    flow = {node: list(counts) for node, counts in mill.flow("last", "sums").items()}
    print(json.dumps({"peak": peak, "rows_in": totals.rows_in, **flow}))


def test_twenty_million_rows_are_deduplicated_and_aggregated_in_little_memory(mill: Mill) -> None:
    orders(mill.root / "orders.parquet")
    mill.table("latest", "id bigint, customer bigint, note text, amount integer")
    mill.table("totals", "customer bigint, n bigint, total bigint")
    found = done_apart("run", mill)
    assert found["rows_in"] == ROWS
    assert found["last"] == [ROWS, CUSTOMERS, 0, ROWS - CUSTOMERS]
    assert found["sums"] == [ROWS, CUSTOMERS, 0, 0]
    assert mill.rows("SELECT count(*), count(DISTINCT customer), min(id) > 15000000 FROM latest") == [
        (50_000, 50_000, True)
    ]
    assert mill.rows("SELECT count(*), sum(n) FROM totals") == [(50_000, 200_000)]
    assert found["peak"] < LIMIT_BYTES, f"{found['peak'] / 1e9:.2f} GB"


def test_wide_rows_are_deduplicated_joined_and_sorted_in_little_memory(mill: Mill) -> None:
    letters(mill.root / "letters.csv")
    mill.table("joined", "id bigint, customer bigint, note text")
    mill.table("sorted", "id bigint, customer bigint, note text, nr bigserial")
    found = done_apart("run_wide", mill)
    counts = "SELECT count(*), count(DISTINCT customer), min(id), sum(id) FROM joined"
    half, last = WIDE_ROWS // 2, WIDE_ROWS - 1
    assert mill.rows(counts) == [(half, half, half, (half + last) * half // 2)]
    assert mill.rows("SELECT count(*), count(DISTINCT id) FROM sorted") == [(WIDE_ROWS, WIDE_ROWS)]
    unsorted = "SELECT count(*) FROM (SELECT note < lag(note) OVER (ORDER BY nr) AS less FROM sorted) x WHERE less"
    assert mill.rows(unsorted.replace("note <", 'note COLLATE "C" <')) == [(0,)]
    assert found["peak"] < WIDE_LIMIT_BYTES, f"{found['peak'] / 1e9:.2f} GB"


def done_apart(what: str, mill: Mill) -> dict[str, Any]:
    """What a function of this module has printed, in a process of its own."""
    command = [sys.executable, "-m", "tests.flows.runtime.graphs.test_memory", what, str(mill.root), mill.url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    {"run": run, "run_wide": run_wide}[sys.argv[1]](sys.argv[2], sys.argv[3])
