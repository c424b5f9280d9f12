"""Append: whole runs over REST through Prefect, against `psql \\copy` of the same file in the same run.

    python -m benchmarks.append [--rows 2000000] [--rounds 3]

Starts a stack of its own in a temporary folder. Prints, per variant, the median seconds of the run (as the facade
reports it), rows/s, the ratio to psql, and the peak memory of the run's process.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg

from benchmarks.orders import TABLE, pipeline_ir, write_orders
from headrace.deployments.stack.database.installation import find_binaries
from headrace.deployments.stack.state import StackState

FIELDS = [
    {"name": "id", "dataType": "bigint"},
    {"name": "customer", "dataType": "integer"},
    {"name": "email", "dataType": "text"},
    {"name": "full_name", "dataType": "text"},
    {"name": "city", "dataType": "text"},
    {"name": "amount", "dataType": "decimal", "precision": 12, "scale": 2},
    {"name": "price", "dataType": "double"},
    {"name": "quantity", "dataType": "smallint"},
    {"name": "active", "dataType": "boolean"},
    {"name": "birthday", "dataType": "date"},
    {"name": "created", "dataType": "timestamptz"},
    {"name": "note", "dataType": "text"},
]


@contextmanager
def stack(folder: Path) -> Iterator[StackState]:
    """Starts a stack."""
    command = [sys.executable, "-P", "-m", "headrace.deployments.cli.app"]
    where = ["--data-dir", str(folder / "data")]
    subprocess.run([*command, "up", *where, "--port", "0", "--prefect-port", "0", "--detach"], check=True)
    try:
        state = StackState.read(folder / "data" / "stack.json")
        assert state is not None
        yield state
    finally:
        subprocess.run([*command, "down", *where], check=True)


class Bench(httpx.Client):
    """A client of the stack that makes pipelines over the benchmark's files and times their runs."""

    def __init__(self, state: StackState) -> None:
        super().__init__(base_url=state.api_url, headers={"X-API-Key": state.api_key}, timeout=60)
        self.state = state
        self.connector = self.made("/connectors", {"name": "files", "type": "local_fs"})["id"]
        self.schema = self.made("/schemas", {"name": "orders", "displayName": "Orders", "fields": FIELDS})["id"]

    def made(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.post(path, json=body)
        answer.raise_for_status()
        made: dict[str, Any] = answer.json()
        return made

    def pipeline(self, name: str, ir: dict[str, Any]) -> str:
        """Creates a pipeline of two partitions at a time; returns its id."""
        references = {"connectorId": self.connector, "schemaId": self.schema}
        body = {"name": name, **references, "irVersion": "1.0", "ir": ir, "executionConfig": {"parallelism": 2}}
        return str(self.made("/pipelines", body)["id"])

    def run(self, pipeline: str) -> tuple[float, float]:
        """Runs it into an empty table: seconds of the run, and the peak memory of its process in MB."""
        with psycopg.connect(self.state.database_url, autocommit=True) as connection:
            connection.execute("TRUNCATE public.ds_orders")
            connection.execute("CHECKPOINT")
        run = self.made(f"/pipelines/{pipeline}/run", {})
        peak, pid = 0.0, None
        while True:
            progress = self.get(f"/pipelines/{pipeline}/runs/{run['id']}/progress").json()
            if progress["status"] not in ("pending", "running"):
                break
            pid = pid or self._process(run["id"])
            peak = max(peak, _memory(pid))
            time.sleep(0.05)
        if not progress["status"].startswith("completed"):
            raise SystemExit(f"the run failed: {progress['log'][-1]['message']}")
        return progress["durationMs"] / 1000, peak

    def _process(self, run_id: str) -> int | None:
        with self.state.prefect_api.client(30) as prefect:
            flow_run = prefect.get(f"/flow_runs/{run_id.removeprefix('run_')}").json()
        found = str(flow_run.get("infrastructure_pid") or "").rpartition(":")[2]
        return int(found) if found.isdecimal() else None


def _memory(pid: int | None) -> float:
    try:
        return psutil.Process(pid).memory_info().rss / 1e6 if pid else 0.0
    except psutil.NoSuchProcess:
        return 0.0


def psql_copy(state: StackState, file: Path) -> float:
    """Seconds of `\\copy` of the raw file into a table of the same columns."""
    psql = find_binaries() / "psql"
    with psycopg.connect(state.database_url, autocommit=True) as connection:
        connection.execute(f"DROP TABLE IF EXISTS public.raw_orders; CREATE TABLE public.raw_orders ({TABLE})")
        connection.execute("CHECKPOINT")
    started = time.perf_counter()
    copy = f"\\copy public.raw_orders from '{file}' with (format csv, header)"
    subprocess.run([str(psql), state.database_url, "-qc", copy], check=True)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder, stack(Path(folder)) as state:
        clean, bad = state.files_root / "orders.csv", state.files_root / "bad.csv"
        write_orders(clean, given.rows)
        write_orders(bad, given.rows, bad_share=0.01)
        print(f"{given.rows:,} rows, {clean.stat().st_size / 1e6:.0f} MB, median of {given.rounds}")
        bench, table = Bench(state), "public.ds_orders"
        variants = {
            "copy only": bench.pipeline("copy", pipeline_ir(clean.name, table, ops=False, rules=False)),
            "3 ops": bench.pipeline("ops", pipeline_ir(clean.name, table, rules=False)),
            "3 ops, 4 rules": bench.pipeline("rules", pipeline_ir(clean.name, table)),
            "1 % bad rows": bench.pipeline("bad", pipeline_ir(bad.name, table)),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ["psql \\copy", *variants]}
        peaks = dict.fromkeys(seconds, 0.0)
        for _ in range(given.rounds):
            seconds["psql \\copy"].append(psql_copy(state, clean))
            for name, pipeline in variants.items():
                took, peak = bench.run(pipeline)
                seconds[name].append(took)
                peaks[name] = max(peaks[name], peak)
        base = statistics.median(seconds["psql \\copy"])
        for name, taken in seconds.items():
            median = statistics.median(taken)
            memory = f"{peaks[name]:6.0f} MB" if peaks[name] else ""
            print(f"{name:16} {median:6.2f} s {given.rows / median:12,.0f} rows/s {median / base:5.2f} x psql {memory}")


if __name__ == "__main__":
    main()
