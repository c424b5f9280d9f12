"""PostgreSQL to PostgreSQL with a kill in the middle: every row once, and how much memory it took.

    python -m benchmarks.killed_copy [--rows 10000000] [--table orders|lineitem] [--look]

A run is killed (SIGKILL) when half of the rows are committed, and a retry of it continues. The number of rows and a sum
over their hashes must be those of the source. `--look`: with an op between source and target, so that values are read.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Sequence
from typing import Any

import psutil
import psycopg

from benchmarks.database_copies import Copies, job
from benchmarks.postgresql_tables import TABLES
from benchmarks.postgresql_to_postgresql import copies
from benchmarks.silence import Silence

_RUN, _RETRY = "killed_1", "killed_2"


def attempt(pipe: Any, port: int, url: str, table: str, ops: Sequence[dict[str, Any]], earlier: Any) -> None:
    """One run: sends its plan, and at the end its rows and its peak memory in MB."""
    from headrace.flows.runtime.execute import Execution
    from headrace.flows.runtime.prepare import prepare
    from headrace.flows.runtime.scheduler import run_in_threads
    from headrace.flows.runtime.stored_plan import stored_plan

    run_id = _RUN if earlier is None else _RETRY
    prepared = prepare(job(port, url, table, ops, 2, run_id, root_run_id=_RUN, earlier_plan=earlier))
    pipe.send(stored_plan(prepared))
    totals = run_in_threads(Execution(prepared, Silence()))
    prepared.close()
    pipe.send((totals.rows_in, totals.rows_out, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000))


def committed(made: Copies) -> int:
    """Rows that the ledger has of the run."""
    with psycopg.connect(made.url("target"), autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('_headrace.ledger') IS NULL").fetchone() == (True,):
            return 0
        found = connection.execute("SELECT coalesce(sum(rows_loaded), 0)::bigint FROM _headrace.ledger").fetchone()
        return int(found[0]) if found is not None else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--table", choices=sorted(TABLES), default="orders")
    parser.add_argument("--look", action="store_true")
    given = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    with copies(given.table, given.rows) as made:
        ops = [{"type": "add_field", "field": "looked", "value": "at"}] if given.look else []
        known = (made.port, made.url("target"), made.name, ops)
        began = time.perf_counter()
        here, there = spawn.Pipe()
        first: Any = spawn.Process(target=attempt, args=(there, *known, None), daemon=True)
        first.start()
        plan = here.recv()
        while (loaded := committed(made)) < given.rows // 2:
            time.sleep(0.1)
        before = _peak(first.pid)
        first.kill()
        first.join()
        here, there = spawn.Pipe()
        second: Any = spawn.Process(target=attempt, args=(there, *known, plan), daemon=True)
        second.start()
        here.recv()
        rows_in, rows_out, after = here.recv()
        second.join()
        seconds = time.perf_counter() - began
        print(f"killed with {loaded:,} of {given.rows:,} rows; both attempts {seconds:.1f} s")
        print(f"peak memory {before:.0f} MB before, {after:.0f} MB after; read {rows_in:,}, loaded {rows_out:,}")
        wanted, found = made.sums("source"), made.sums("target", columns=made.columns)
        if wanted != found or rows_in != given.rows:
            raise SystemExit(f"the target has {found}, not {wanted}")
        print(f"exact: {found[0]:,} rows, sum of their hashes {found[1]}")


def _peak(pid: int) -> float:
    """A process's peak memory so far, in MB."""
    with open(f"/proc/{psutil.Process(pid).pid}/status") as status:
        line = next(each for each in status if each.startswith("VmHWM"))
    return int(line.split()[1]) / 1000


if __name__ == "__main__":
    main()
