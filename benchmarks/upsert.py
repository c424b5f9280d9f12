"""Upsert: a load whose keys all exist, against a plain append of the same rows and PostgreSQL's own ON CONFLICT.

    python -m benchmarks.upsert [--rows 1000000] [--rounds 3]

Starts a PostgreSQL of its own in a temporary folder and runs pipelines without an orchestrator, two partitions at a
time. Prints the median seconds per variant, rows/s, the ratio to what a person would do by hand (COPY into a temporary
table and one INSERT ... ON CONFLICT DO UPDATE), and the CPU seconds of this program and of PostgreSQL. All variants of
a round run one after the other, so that the ratio holds on a machine with other work.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from benchmarks.measure import server_cpu
from benchmarks.orders import pipeline_ir, write_orders
from benchmarks.silence import Silence
from headrace.catalog.runs.records import ConnectorRecord, RunPipeline
from headrace.connectors.files.paths import FilesRoot
from headrace.deployments.stack.database.server import EmbeddedPostgres, ensure_database
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads as run

_COLUMNS = (
    "id bigint PRIMARY KEY, customer integer, email text, name text, city text, amount numeric, "
    "price double precision, quantity smallint, active boolean, birthday date, created timestamptz, note text"
)


class Bench:
    """The file `orders.csv` in a folder and the table `public.ds_orders` of one database."""

    def __init__(self, url: str, folder: Path, rows: int) -> None:
        self.url, self.folder, self.rows = url, folder, rows
        write_orders(folder / "orders.csv", rows)

    def load(self, **target: Any) -> float:
        """Seconds of a run of the file into the table."""
        ir = pipeline_ir("orders.csv", "public.ds_orders", ops=False, rules=False)
        ir["nodes"][-1].update(target)
        connector = ConnectorRecord("conn_1", "local_fs", {})
        tables = frozenset({"public.ds_orders"})
        pipeline = RunPipeline("pipe_1", "default", "Orders", ir, 1, connector, {"parallelism": 2}, tables)
        run_id = uuid4().hex
        started = time.perf_counter()
        totals = run(
            Execution(prepare(Job(run_id, pipeline, self.url, FilesRoot(self.folder), Continuation(run_id))), Silence())
        )
        taken = time.perf_counter() - started
        assert totals.rows_out == self.rows, totals
        return taken

    def run_sql(self, *statements: str) -> float:
        """Seconds of the statements, each in its own transaction on one connection."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            started = time.perf_counter()
            for statement in statements:
                connection.execute(statement)
            return time.perf_counter() - started

    def fill(self, *, keys: str) -> None:
        """A table of which the file's rows all are (`every`), or none (`none`)."""
        self.run_sql("DROP TABLE IF EXISTS public.ds_orders", f"CREATE TABLE public.ds_orders ({_COLUMNS})")
        if keys == "every":
            self.load()
        self.run_sql("VACUUM ANALYZE public.ds_orders", "CHECKPOINT")

    def on_conflict(self) -> float:
        """Seconds of what a person would do by hand."""
        plain = _COLUMNS.replace(" PRIMARY KEY", "")
        names = [column.split()[0] for column in plain.split(", ")]
        changes = ", ".join(f"{name} = EXCLUDED.{name}" for name in names[1:])
        started = time.perf_counter()
        with psycopg.connect(self.url) as connection:
            connection.execute(f"CREATE TEMP TABLE t ({plain})")
            copy = "COPY t FROM STDIN (FORMAT csv, HEADER)"
            with (self.folder / "orders.csv").open("rb") as file, connection.cursor().copy(copy) as into:
                while part := file.read(1 << 20):
                    into.write(part)
            given = ", ".join(names)
            merge = f"INSERT INTO ds_orders ({given}) SELECT * FROM t ON CONFLICT (id) DO UPDATE SET {changes}"
            connection.execute(merge)
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="headrace-bench-"))
    server = EmbeddedPostgres(folder / "postgres", folder / "postgresql.log")
    try:
        server.start()
        ensure_database(server.url("postgres"), "bench")
        bench = Bench(server.url("bench"), folder, given.rows)
        by_key = {"loadMode": "upsert", "upsertKey": "id"}
        variants = {
            "by hand, ON CONFLICT": ("every", bench.on_conflict),
            "append": ("none", bench.load),
            "upsert, all are new": ("none", lambda: bench.load(**by_key)),
            "upsert, all exist": ("every", lambda: bench.load(**by_key)),
        }
        seconds: dict[str, list[float]] = {name: [] for name in variants}
        cpu: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
        for _ in range(given.rounds):
            for name, (keys, work) in variants.items():
                bench.fill(keys=keys)
                before = time.process_time(), server_cpu(server.pid)
                seconds[name].append(work())
                cpu[name].append((time.process_time() - before[0], server_cpu(server.pid) - before[1]))
        print(f"{given.rows:,} rows of 12 columns, median of {given.rounds}")
        base = statistics.median(seconds["by hand, ON CONFLICT"])
        for name, taken in seconds.items():
            median = statistics.median(taken)
            used = " + ".join(f"{statistics.median(each):.2f}" for each in zip(*cpu[name], strict=True))
            speed = f"{given.rows / median:12,.0f} rows/s {median / base:5.2f} x by hand"
            print(f"{name:22} {median:6.2f} s {speed}; CPU {used} s")
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
