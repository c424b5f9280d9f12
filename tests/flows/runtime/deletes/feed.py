"""A database that feeds tables, for runs that notice what is deleted in it."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from headrace.catalog.runs.records import ConnectorRecord, RunPipeline
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.execute import Execution
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from tests.flows.runtime.graphs.world import Mill, Node, document


class Origin(Protocol):
    """The source's database, as its owner sees it."""

    config: dict[str, Any]
    credentials: dict[str, Any]

    def make(self, *statements: str) -> None: ...


class Feed(Mill):
    """A database, and the one that it is fed from. The cursor is a number that a test counts up."""

    def __init__(self, root: Path, url: str, kind: str, origin: Origin) -> None:
        super().__init__(root, url)
        self.kind, self.origin = kind, origin
        self._changes = 0

    def put(self, *ids: int, name: str = "n") -> None:
        """Inserts or changes rows of the source, later than all before."""
        for each in ids:
            self._changes += 1
            self.origin.make(
                f"DELETE FROM t WHERE id = {each}", f"INSERT INTO t VALUES ({each}, '{name}{each}', {self._changes})"
            )

    def delete(self, condition: str) -> None:
        self.origin.make(f"DELETE FROM t WHERE {condition}")

    def source(self, **config: Any) -> Node:
        settings = {"table": "shop.t", "cursor": {"column": "v"}, **config}
        return {"id": "src", "kind": "source", "connector": self.kind, "config": settings}

    def nodes(self, mode: str = "upsert", **deletes: Any) -> list[Node]:
        """From the source into `one`, by `id`."""
        out = {"id": "tgt", "kind": "target", "input": "src", "schema": "public.one", "loadMode": mode}
        return [self.source(), {**out, "upsertKey": "id", "deletes": deletes}]

    def job(
        self, nodes: Iterable[Node], run_id: str, *, pipeline: str = "pipe_1", continues: Continuation | None = None
    ) -> Job:
        ir = document(nodes)
        tables = frozenset(node["schema"] for node in ir["nodes"] if node["kind"] == "target")
        connector = ConnectorRecord("conn_1", self.kind, self.origin.config, self.origin.credentials)
        planned = RunPipeline(pipeline, "default", "P", ir, 1, connector, {"parallelism": 2}, tables)
        loopback = (ip_network("127.0.0.0/8"),)
        return Job(
            run_id, planned, self.url, self.root, continues or Continuation(root_run_id=run_id), networks=loopback
        )

    def execution(self, nodes: Iterable[Node], run_id: str = "", **options: Any) -> Execution:
        return Execution(prepare(self.job(nodes, run_id or f"r{uuid4().hex[:8]}", **options)), self.recorder)

    def loaded(self, columns: str = "id", where: str = "true") -> list[Any]:
        found = self.rows(f"SELECT {columns} FROM public.one WHERE {where} ORDER BY 1")
        return [row[0] if len(row) == 1 else row for row in found]

    @property
    def said(self) -> str:
        return "\n".join(line for _, line in self.recorder.lines)
