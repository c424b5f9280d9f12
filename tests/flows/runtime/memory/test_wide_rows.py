"""Rows of any width in a process of its own with a limit: batches are bounded by bytes, and so is memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.flows.runtime.errors import RunFailed
from headrace.flows.runtime.memory.process_limits import LOW_MEMORY_ENV
from headrace.flows.runtime.memory.watch import OutOfMemory, watch_memory
from tests.flows.runtime.graphs.world import Mill, Node, source, target, transform

pytestmark = [pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(600)]

LIMIT = "700MB"
FIELDS = {"id": "bigint", "t": "text"}
SIZE = 360 * 1024**2


@pytest.fixture
def mill(tmp_path: Path, database_url: str) -> Mill:
    folder = tmp_path / "files"
    folder.mkdir()
    made = Mill(folder, database_url)
    made.table("t", "id bigint, t text")
    return made


def texts(width: int, size: int = SIZE) -> list[str]:
    """So many bytes of texts, each of them another."""
    return [f"{number:08}" * (width // 8) for number in range(size // width)]


def parquet(mill: Mill, width: int, *, size: int = SIZE) -> int:
    """One row group of all rows; their number."""
    given = texts(width, size)
    table = pa.table({"id": range(len(given)), "t": pa.array(given, pa.large_string())})
    pq.write_table(table, mill.root / "wide.parquet", row_group_size=len(given), compression="zstd")
    return len(given)


def limited(mill: Mill, *nodes: Node, limit: str = LIMIT) -> dict[str, Any]:
    """The result of a run in a process with a limit."""
    command = [sys.executable, "-m", "tests.flows.runtime.memory.test_wide_rows", str(mill.root), mill.url]
    env = {**os.environ, **LOW_MEMORY_ENV, "HEADRACE_RUN_MEMORY_LIMIT": limit}
    done = subprocess.run(
        [*command, json.dumps(nodes)], capture_output=True, text=True, check=False, env=env, timeout=500
    )
    assert done.stdout, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("width", [200, 5_000, 100_000])
def test_a_row_group_larger_than_half_the_limit_is_loaded(mill: Mill, width: int) -> None:
    rows = parquet(mill, width)
    found = limited(mill, source("wide.parquet", FIELDS), target("tgt", "src", "t"))
    assert found == {"rows": [rows, rows, 0]}
    assert mill.rows("SELECT count(DISTINCT id), sum(length(t)) FROM t") == [(rows, rows * width)]


def test_rows_that_an_op_makes_twenty_times_as_wide_are_loaded(mill: Mill) -> None:
    rows = parquet(mill, 8_000, size=SIZE // 8)
    twenty = " || ".join(["t"] * 20)
    op = {"type": "expression", "field": "t", "expression": twenty}
    found = limited(mill, source("wide.parquet", FIELDS), transform("more", "src", op), target("tgt", "more", "t"))
    assert found == {"rows": [rows, rows, 0]}
    assert mill.rows("SELECT count(DISTINCT id), sum(length(t)) FROM t") == [(rows, 20 * rows * 8_000)]


def test_wide_rows_are_quarantined(mill: Mill) -> None:
    rows = parquet(mill, 5_000, size=SIZE // 4)
    rule = {"id": "short", "field": "t", "rule": "max_length:10"}
    check: Node = {"id": "check", "kind": "validate", "input": "src", "rowLevel": [rule]}
    check["quarantine"] = {"table": "dlq.wide"}
    found = limited(mill, source("wide.parquet", FIELDS), check, target("tgt", "check", "t"))
    assert found == {"rows": [rows, 0, rows]}
    whole = """SELECT count(*), sum(length("row" ->> 't')) FROM dlq.wide"""
    assert mill.rows(whole) == [(rows, rows * 5_000)]


def test_a_query_over_wide_rows_is_loaded(mill: Mill) -> None:
    rows = parquet(mill, 5_000, size=128 * 1024**2)
    query = {"type": "sql", "query": "SELECT id, t FROM input WHERE id >= 0 ORDER BY id"}
    nodes = [source("wide.parquet", FIELDS), transform("all", "src", query), target("tgt", "all", "t")]
    assert limited(mill, *nodes, limit="1GB") == {"rows": [rows, rows, 0]}
    assert mill.rows("SELECT count(DISTINCT id), sum(length(t)) FROM t") == [(rows, rows * 5_000)]


def test_a_query_that_needs_more_than_its_share_says_so_with_its_node_and_the_settings(mill: Mill) -> None:
    parquet(mill, 5_000, size=1024**3)
    query = {"type": "sql", "query": "SELECT string_agg(t, '' ORDER BY id) AS t, min(id) AS id FROM input"}
    nodes = [source("wide.parquet", FIELDS), transform("all", "src", query), target("tgt", "all", "t")]
    found = limited(mill, *nodes, limit="1GB")
    assert found["kind"] == "RunFailed", found
    assert found["error"].startswith("all: ")
    assert "HEADRACE_QUERY_MEMORY_MB" in found["error"]


def run(root: str, url: str, nodes: str) -> None:
    """In a process of its own."""

    def over(error: OutOfMemory) -> None:
        sys.stdout.write(json.dumps({"kind": "killed", "error": str(error)}))
        sys.stdout.flush()
        os._exit(1)

    mill = Mill(Path(root), url)
    mill.recorder.rejected = lambda *_, **__: None  # type: ignore[method-assign, misc]
    with watch_memory(over):
        try:
            totals = mill.run(json.loads(nodes), maxErrorRows=10**9)
        except RunFailed as error:
            found = {"kind": type(error).__name__, "error": str(error)}
        else:
            found = {"rows": [totals.rows_in, totals.rows_out, totals.failed]}  # type: ignore[dict-item]
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    run(*sys.argv[1:])
