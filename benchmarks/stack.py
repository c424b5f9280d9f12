"""A stack of its own for a benchmark, and whole runs on it over REST through Prefect, measured."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg

from benchmarks.measure import Taken, cpu_of, server_cpu
from headrace.deployments.stack.state import StackState

_MEMORY_EVERY_S = 0.05
_PROGRESS_EVERY_S = 0.5
"""As often as a page that people look at asks for the progress of a run: asking costs the API some 8 ms of CPU."""
_FORKER = "headrace.deployments.worker.fork_server"


@contextmanager
def stack(folder: Path, **environment: str) -> Iterator[StackState]:
    """Starts a stack with its data below `folder` and further environment variables, and stops it."""
    command = [sys.executable, "-P", "-m", "headrace.deployments.cli.app"]
    where = ["--data-dir", str(folder / "data")]
    up = [*command, "up", *where, "--port", "0", "--prefect-port", "0", "--detach"]
    subprocess.run(up, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **environment})
    try:
        state = StackState.read(folder / "data" / "stack.json")
        assert state is not None
        yield state
    finally:
        subprocess.run([*command, "down", *where], check=True, stdout=subprocess.DEVNULL)


class Bench(httpx.Client):
    """A client of the stack that makes pipelines and measures their runs."""

    def __init__(self, state: StackState) -> None:
        super().__init__(base_url=state.api_url, headers={"X-API-Key": state.api_key}, timeout=60)
        self.state = state
        self.files = self.connector("files", "local_fs")

    def made(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What a POST of `body` has made. Raises SystemExit with the answer if it is refused."""
        answer = self.post(path, json=body)
        if not answer.is_success:
            raise SystemExit(f"POST {path} was refused: {answer.text}")
        made: dict[str, Any] = answer.json()
        return made

    def connector(self, name: str, kind: str, **settings: Any) -> str:
        """Makes a connector; returns its id."""
        return str(self.made("/connectors", {"name": name, "type": kind, **settings})["id"])

    def schema(self, name: str, fields: list[dict[str, Any]]) -> str:
        """Makes a schema with its table `public.ds_<name>`; returns its id."""
        return str(self.made("/schemas", {"name": name, "displayName": name, "fields": fields})["id"])

    def pipeline(
        self, name: str, ir: dict[str, Any], schema: str, connector: str | None = None, *, parallelism: int = 2
    ) -> str:
        """Makes a pipeline of so many partitions at a time; returns its id."""
        references = {"connectorId": connector or self.files, "schemaId": schema}
        body = {
            "name": name,
            **references,
            "irVersion": "1.0",
            "ir": ir,
            "executionConfig": {"parallelism": parallelism},
        }
        return str(self.made("/pipelines", body)["id"])

    def run(self, *pipelines: str) -> Taken:
        """Runs them at the same time to their end. The seconds are those from the start of the first to the end of the
        last, as the API reports them; `client` are the runs' processes, `beside` all other processes of the stack.
        Raises SystemExit if one fails."""
        server = self.postgres
        forker, rest = self.own_processes()
        before = server_cpu(server.pid), cpu_of([forker]), cpu_of(rest)
        runs = {self.made(f"/pipelines/{pipeline}/run", {})["id"]: pipeline for pipeline in pipelines}
        left, peak, asked = set(runs), 0.0, 0.0
        while left:
            if time.monotonic() - asked >= _PROGRESS_EVERY_S:
                asked = time.monotonic()
                left = {run for run in left if not self._has_ended(runs[run], run)}
            peak = max(peak, _resident(forker.children()) / 1e6)
            time.sleep(_MEMORY_EVERY_S)
        while forker.children():  # until its processes have ended: only then are their CPU seconds counted
            time.sleep(_MEMORY_EVERY_S)
        own = cpu_of([forker]) - before[1]
        return Taken(self._seconds(runs), own, server_cpu(server.pid) - before[0], peak, cpu_of(rest) - before[2])

    def _has_ended(self, pipeline: str, run: str) -> bool:
        """Raises SystemExit if it has failed."""
        progress = self.get(f"/pipelines/{pipeline}/runs/{run}/progress").json()
        if progress["status"] in ("pending", "running"):
            return False
        if not progress["status"].startswith("completed"):
            raise SystemExit(f"the run failed: {progress['log'][-1]['message']}")
        return True

    def _seconds(self, runs: dict[str, str]) -> float:
        """From the start of the first to the end of the last run."""
        found = [self.get(f"/pipelines/{pipeline}/runs/{run}").json() for run, pipeline in runs.items()]
        ended = max(datetime.fromisoformat(each["completedAt"]) for each in found)
        return (ended - min(datetime.fromisoformat(each["startedAt"]) for each in found)).total_seconds()

    @property
    def postgres(self) -> psutil.Process:
        """The first process of the stack's server."""
        [found] = [each for each in psutil.Process(self.state.pid).children() if each.name() == "postgres"]
        return found

    def own_processes(self) -> tuple[psutil.Process, list[psutil.Process]]:
        """The process whose children the runs are, and the stack's others except PostgreSQL's and this program's."""
        postgres = self.postgres
        apart = {postgres, *postgres.children(recursive=True)}
        supervisor = psutil.Process(self.state.pid)
        others = [each for each in (supervisor, *supervisor.children(recursive=True)) if each not in apart]
        [forker] = [each for each in others if _FORKER in " ".join(each.cmdline())]
        return forker, [each for each in others if each != forker]


def _resident(processes: Iterable[psutil.Process]) -> int:
    """Bytes."""
    total = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def emptied(state: StackState, table: str) -> None:
    """Truncates a table."""
    with psycopg.connect(state.database_url, autocommit=True) as connection:
        connection.execute(f"TRUNCATE {table}".encode())
        connection.execute("CHECKPOINT")
