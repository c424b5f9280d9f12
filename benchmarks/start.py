"""Start latency: from `POST …/run` until the first row is committed, on Headrace's worker and on Prefect's own.

    python -m benchmarks.start [--rounds 9]

Starts a stack of its own in a temporary folder and a stock worker (`prefect worker start --type process`) beside it.
The file has ten rows; both workers are warm. Prints the median and the worst of the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg

from benchmarks.append import document
from benchmarks.datasets import ORDERS
from benchmarks.orders import write_orders
from benchmarks.stack import Bench, stack
from headrace.deployments.stack.environment import base_environment, prefect_client_environment
from headrace.deployments.stack.state import StackState

STOCK_ROUNDS = 3
_PATIENCE_S = 120.0


def main() -> None:
    """Prints two lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="headrace-start-") as folder, stack(Path(folder)) as state:
        write_orders(state.files_root / "orders.csv", 10)
        bench = Bench(state)
        schema = bench.schema("orders", [*ORDERS.fields])
        pipeline = bench.pipeline("start", document(ORDERS, "orders.csv"), schema)
        ours = [first_row(state, lambda: bench.made(f"/pipelines/{pipeline}/run", {})) for _ in range(given.rounds + 1)]
        report("headrace", ours[1:])
        with stock_worker(state, Path(folder)) as start:
            stock = [first_row(state, lambda: start(pipeline)) for _ in range(STOCK_ROUNDS + 1)]
            report("process (stock)", stock[1:])


def report(worker: str, seconds: list[float]) -> None:
    """Prints one line."""
    print(f"{worker:16} median {statistics.median(seconds):6.2f} s   worst {max(seconds):6.2f} s", flush=True)


def first_row(state: StackState, start: Callable[[], object]) -> float:
    """Seconds from the request until another session sees a row in the table."""
    with psycopg.connect(state.database_url, autocommit=True) as connection:
        settled(state)
        connection.execute("TRUNCATE public.ds_orders")
        began = time.perf_counter()
        start()
        while connection.execute("SELECT FROM public.ds_orders LIMIT 1").fetchone() is None:
            if time.perf_counter() - began > _PATIENCE_S:
                raise SystemExit("no row came")
            time.sleep(0.005)
        return time.perf_counter() - began


def settled(state: StackState) -> None:
    """Waits until no run is on its way: runs of one pipeline wait for each other."""
    unfinished = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING"]}}}}
    with state.prefect_api.client(30) as prefect:
        while prefect.post("/flow_runs/count", json=unfinished).json():
            time.sleep(0.05)


@contextmanager
def stock_worker(state: StackState, folder: Path) -> Iterator[Callable[[str], None]]:
    """Prefect's process worker on its own pool; returns a function that starts a run of a pipeline there."""
    environment = base_environment() | prefect_client_environment(folder / "stock", state.prefect_api)
    environment |= {
        "HEADRACE_DATABASE_URL": state.database_url,
        "HEADRACE_FILES_ROOT": str(state.files_root),
        "HEADRACE_KEY_PEPPER": "only the facade needs the real one",
    }
    command = [sys.executable, "-P", "-m", "prefect", "worker", "start", "--pool", "stock", "--type", "process"]
    with (folder / "stock.log").open("wb") as log:
        worker = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    try:
        with state.prefect_api.client(30) as prefect:
            while not online(prefect):
                assert worker.poll() is None, (folder / "stock.log").read_text()
                time.sleep(0.2)

            def start(pipeline: str) -> None:
                deployment = beside(prefect, pipeline)
                prefect.post(f"/deployments/{deployment}/create_flow_run", json={}).raise_for_status()

            yield start
    finally:
        worker.terminate()
        worker.wait()


def online(prefect: httpx.Client) -> bool:
    """Whether the stock worker has registered."""
    found = prefect.post("/work_pools/stock/workers/filter", json={})
    return found.is_success and bool(found.json())


def beside(prefect: httpx.Client, pipeline: str) -> str:
    """A deployment like the pipeline's own, but on the stock pool; made once."""
    tagged = {"deployments": {"tags": {"all_": [f"pipeline:{pipeline}"]}}}
    [own] = prefect.post("/deployments/filter", json=tagged).raise_for_status().json()
    wanted = {name: own[name] for name in ("flow_id", "entrypoint", "parameters", "parameter_openapi_schema")}
    made = prefect.post("/deployments/", json={**wanted, "name": "stock", "work_pool_name": "stock", "pull_steps": []})
    return str(made.raise_for_status().json()["id"])


if __name__ == "__main__":
    main()
