"""A client of a running stack, with its own file, table and pipeline."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import psycopg

from tests.conftest import RunningStack

_PATIENCE_S = 120

T = TypeVar("T")

FIELDS = [{"name": "amount", "dataType": "integer"}, {"name": "note", "dataType": "text"}]


class Api(httpx.Client):
    """The facade with a pipeline that loads one file of its own; `text` is what the file holds (None: there is none).

    `source` and `fields` change the source node and its declared columns, `target` the target, `nodes` are between
    them.
    """

    def __init__(
        self,
        stack: RunningStack,
        text: str | bytes | None = "amount,note\n1,a\n2,b\nx,c\n",
        *,
        source: dict[str, Any] | None = None,
        fields: list[dict[str, Any]] | None = FIELDS,
        nodes: list[dict[str, Any]] | None = None,
        execution: dict[str, Any] | None = None,
        target: dict[str, Any] | None = None,
        **document: Any,
    ) -> None:
        super().__init__(base_url=stack.api_url, headers={"X-API-Key": stack.api_key}, timeout=30, verify=False)
        self.stack = stack
        self.name = f"orders_{uuid4().hex[:8]}"
        self.file = stack.files_root / f"{self.name}.csv"
        if text is not None:
            self.file.write_bytes(text if isinstance(text, bytes) else text.encode())
        schema = self.make("/schemas", {"name": self.name, "displayName": self.name, "fields": FIELDS})
        connector = self.make("/connectors", {"name": self.name, "type": "local_fs"})
        self.table = f"public.{schema['tableName']}"
        reading = {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": self.file.name}}
        reading |= ({"fields": fields} if fields else {}) | (source or {})
        chain = [reading, *(nodes or [])]
        for before, node in pairwise(chain):
            node["input"] = before["id"]
        loading = {"id": "tgt", "kind": "target", "input": chain[-1]["id"], "schema": self.table, "loadMode": "append"}
        loading |= target or {}
        ir = {"kind": "pipeline", "version": "1.0", "id": self.name, "metadata": {"name": self.name}}
        self.body = {
            "name": self.name,
            "connectorId": connector["id"],
            "schemaId": schema["id"],
            "executionConfig": execution or {},
            "irVersion": "1.0",
            "ir": {**ir, "nodes": [*chain, loading], **document},
        }
        self.pipeline = ""

    def create(self) -> Api:
        """Creates the pipeline."""
        self.pipeline = self.make("/pipelines", self.body)["id"]
        return self

    def make(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = self.post(path, json=body)
        assert response.status_code == 201, response.text
        made: dict[str, Any] = response.json()
        return made

    def start(self) -> str:
        """Asks for a run; returns its id."""
        return str(self.make(f"/pipelines/{self.pipeline}/run", {})["id"])

    def run(self) -> dict[str, Any]:
        """A run's progress once it has ended."""
        return self.finished(self.start())

    def runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(f"/pipelines/{self.pipeline}/runs").json()
        return found

    def progress(self, run_id: str) -> dict[str, Any]:
        progress: dict[str, Any] = self.get(f"/pipelines/{self.pipeline}/runs/{run_id}/progress").json()
        return progress

    def detail(self, run_id: str) -> dict[str, Any]:
        detail: dict[str, Any] = self.get(f"/pipelines/{self.pipeline}/runs/{run_id}").json()
        return detail

    def finished(self, run_id: str) -> dict[str, Any]:
        """The run's progress once it has ended."""

        def ended() -> dict[str, Any] | None:
            progress = self.progress(run_id)
            return progress if progress["status"] not in ("pending", "running") else None

        return eventually(ended)

    def rows(self, query: str = "SELECT amount, note FROM {table} ORDER BY amount") -> list[tuple[Any, ...]]:
        """Queries PostgreSQL directly, without the facade."""
        with psycopg.connect(self.stack.database_url) as connection:
            return connection.execute(query.format(table=self.table)).fetchall()  # type: ignore[arg-type]

    def deployment(self) -> str:
        """The id of the pipeline's deployment in Prefect."""
        tagged = {"deployments": {"tags": {"all_": [f"pipeline:{self.pipeline}"]}}}
        [deployment] = self.stack.prefect.post("/deployments/filter", json=tagged, timeout=30).json()
        return str(deployment["id"])


def ask(method: str, url: str, **options: Any) -> httpx.Response:
    """What a server of this machine answers, over a new connection. `httpx.get()` reads the machine's certificates
    first, which takes 16 ms of CPU at each look."""
    return httpx.request(method, url, verify=False, timeout=options.pop("timeout", 30), **options)


def eventually(look: Callable[[], T | None]) -> T:
    """What `look` finds, as soon as it does."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if (found := look()) is not None:
            return found
        time.sleep(0.1)
    raise AssertionError(f"nothing after {_PATIENCE_S} s")


def process_of(api: Api, run_id: str) -> int:
    """The process that executes a run, once the worker has reported it to Prefect, some time after it began."""
    path = f"/flow_runs/{run_id.removeprefix('run_')}"
    return int(
        eventually(lambda: api.stack.prefect.get(path, timeout=30).json()["infrastructure_pid"]).rpartition(":")[2]
    )
