"""The cost of a run, a task and a partition before any row: through the worker, in threads and on Dask.

    python -m benchmarks.overhead [--rounds 5] [--partitions 1 8 32] [--on threads dask]

Starts a stack of its own in a temporary folder. Prints, per number of partitions, the median seconds from `POST …/run`
until the run has ended (as a client sees it), from its first to its last moment as the facade reports them, and what
each partition adds to that. Dask is a scheduler and two workers of one thread each.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from headrace.deployments.stack.state import StackState

_ROWS = 100
_PATIENCE_S = 300.0

_HEADRACE = [sys.executable, "-P", "-m", "headrace.deployments.cli.app"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--partitions", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--on", nargs="+", choices=["threads", "dask"], default=["threads"])
    given = parser.parse_args()
    for where in given.on:
        with tempfile.TemporaryDirectory(prefix="headrace-overhead-", ignore_cleanup_errors=True) as name:
            measure(Path(name), where, given.rounds, given.partitions)


def measure(folder: Path, where: str, rounds: int, partitions: list[int]) -> None:
    """Prints the table of one task runner."""
    print(f"\n{where}\n{'partitions':>10} {'asked to ended':>15} {'run':>8} {'per partition':>14}")
    with started_stack(folder, where) as (state, environment), cluster(folder, where, environment):
        first: tuple[int, float] | None = None
        for count in partitions:
            asked, took = zip(*(once(state, count) for _ in range(rounds + 1)), strict=True)
            run = statistics.median(took[1:])  # the first one imports
            per = "" if first is None else f"{(run - first[1]) / (count - first[0]) * 1000:11.1f} ms"
            first = first or (count, run)
            print(f"{count:>10} {statistics.median(asked[1:]):>13.2f} s {run:>6.2f} s {per:>14}", flush=True)


def once(state: StackState, partitions: int) -> tuple[float, float]:
    """One run over several files of few rows: seconds for the client, and seconds of the run itself."""
    with httpx.Client(base_url=state.api_url, headers={"X-API-Key": state.api_key}, timeout=60) as client:
        pipeline = pipeline_of(client, state.files_root, partitions)
        began = time.perf_counter()
        run = made(client, f"/pipelines/{pipeline}/run", {})["id"]
        while time.perf_counter() - began < _PATIENCE_S:
            found = client.get(f"/pipelines/{pipeline}/runs/{run}").raise_for_status().json()
            if found["status"] not in ("pending", "running"):
                break
            time.sleep(0.02)
        asked = time.perf_counter() - began
    assert found["status"] == "completed", found
    times = [datetime.fromisoformat(found[name]) for name in ("startedAt", "completedAt")]
    return asked, (times[1] - times[0]).total_seconds()


def pipeline_of(client: httpx.Client, files: Path, partitions: int) -> str:
    """A pipeline over so many files of 100 rows; another one in every round, because a pipeline's runs wait for each
    other."""
    name = f"overhead_{uuid4().hex[:8]}"
    (files / name).mkdir()
    for number in range(partitions):
        text = "".join(f"{row},n\n" for row in range(_ROWS))
        (files / name / f"{number:04}.csv").write_text("amount,note\n" + text)
    fields = [{"name": "amount", "dataType": "integer"}, {"name": "note", "dataType": "text"}]
    schema = made(client, "/schemas", {"name": name, "displayName": name, "fields": fields})
    connector = made(client, "/connectors", {"name": name, "type": "local_fs"})
    config = {"path": f"{name}/", "ordering": "process_all"}
    nodes = [
        {"id": "src", "kind": "source", "connector": "local_fs", "config": config, "fields": fields},
        {"id": "tgt", "kind": "target", "input": "src", "schema": f"public.{schema['tableName']}"},
    ]
    ir = {"kind": "pipeline", "version": "1.0", "id": name, "metadata": {"name": name}, "nodes": nodes}
    # at most two partitions for each that runs at a time
    execution = {"parallelism": max(2, partitions // 2)}
    body = {"name": name, "connectorId": connector["id"], "schemaId": schema["id"], "executionConfig": execution}
    return str(made(client, "/pipelines", body | {"irVersion": "1.0", "ir": ir})["id"])


def made(client: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = client.post(path, json=body)
    assert response.status_code == 201, response.text
    answer: dict[str, Any] = response.json()
    return answer


@contextmanager
def started_stack(folder: Path, where: str) -> Iterator[tuple[StackState, dict[str, str]]]:
    """A stack whose worker has that task runner, and its environment for the workers of a cluster."""
    environment = os.environ | {"HEADRACE_TASK_RUNNER": where}
    if where == "dask":
        environment["HEADRACE_DASK_ADDRESS"] = "tcp://127.0.0.1:18786"
    command = [*_HEADRACE, "up", "--data-dir", str(folder / "data"), "--port", "0", "--prefect-port", "0"]
    with (folder / "up.log").open("wb") as log:
        up = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        while (state := StackState.read(folder / "data" / "stack.json")) is None:
            assert up.poll() is None, (folder / "up.log").read_text()
            time.sleep(0.1)
        settings = {
            "HEADRACE_DATABASE_URL": state.database_url,
            "HEADRACE_FILES_ROOT": str(state.files_root),
            "HEADRACE_KEY_PEPPER": "only the facade needs the real one",
        }
        yield state, environment | settings
    finally:
        up.terminate()
        up.wait()


@contextmanager
def cluster(folder: Path, where: str, environment: dict[str, str]) -> Iterator[None]:
    """A Dask scheduler and two workers; nothing for threads."""
    if where == "threads":
        yield
        return
    python = [sys.executable, "-P", "-m"]
    scheduler = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "18786", "--no-dashboard"]
    worker = ["distributed.cli.dask_worker", "tcp://127.0.0.1:18786", "--no-dashboard", "--no-nanny", "--nthreads", "1"]
    commands = [scheduler, *[[*worker, "--local-directory", str(folder)]] * 2]
    with (folder / "dask.log").open("wb") as log:
        running = [
            subprocess.Popen([*python, *command], env=environment, stdout=log, stderr=subprocess.STDOUT)
            for command in commands
        ]
    try:
        yield
    finally:
        for process in reversed(running):
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
