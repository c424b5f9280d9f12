"""Runs of a pipeline on a migrated catalog, for tests of target options."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
from sqlalchemy.orm import Session

from headrace.catalog.bootstrap import ensure_tenant
from headrace.catalog.engine import make_engine
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.runs.records import ConnectorRecord, RunPipeline
from headrace.catalog.schemas.names import FieldDefinition
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from tests.flows.runtime.quiet import Quiet

_LOOPBACK = (IPv4Network("127.0.0.0/8"),)
FIELDS = ("id bigint", "name text", "amount integer")


class Notebook(Quiet):
    """A recorder that keeps the run's lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._lock = threading.Lock()

    def rejected(self, stage: int, partition: int, node: str, cells: pl.DataFrame, *, warning: bool) -> None:
        with self._lock:
            self.lines += [f"row {row}: {error}" for row, error in cells.select("row", "error").rows()]

    def log(self, stage: str, message: str, *, level: str = "info") -> None:
        with self._lock:
            self.lines.append(message)

    def said(self, part: str) -> list[str]:
        return [line for line in self.lines if part in line]


class Loads:
    """The schema `orders` (id is its key) and runs into its table `public.ds_orders`."""

    def __init__(self, root: Path, database_url: str, *, api: str | None = None, run: str | None = None) -> None:
        """`api` and `run` are the logins of the facade and of runs in the catalog, where they are others."""
        self.root, self.url, self.catalog_url = root, database_url, run or ""
        self.recorder = Notebook()
        self.credentials: dict[str, Any] = {}
        self.engine = make_engine(api or database_url)
        ensure_tenant(self.engine, "default")
        self.schema("orders", *FIELDS)

    def schema(self, name: str, *fields: str) -> None:
        """A schema of the tenant, with its table."""
        given = [field.split(" ", 1) for field in fields]
        definitions = [
            FieldDefinition(field, field, kind, is_primary_key=field == "id", is_nullable=field != "id")
            for field, kind in given
        ]
        with Session(self.engine) as session, session.begin():
            TenantCatalog(session, "default").schemas.create(
                name=name,
                fields=definitions,
                display_name=name,
                description=None,
                entity_type="custom",
                schema_type="customer",
                auto_enrich=False,
            )

    def schema_fields(self, name: str = "orders") -> list[tuple[str, str]]:
        """Names and types as the catalog has them."""
        with Session(self.engine) as session:
            catalog = TenantCatalog(session, "default")
            found = catalog.schemas.get(catalog.schemas.tables()[f"public.ds_{name}"])
            assert found is not None
            return [(field.name, field.data_type) for field in found.fields]

    def write(self, text: str) -> None:
        (self.root / "orders.csv").write_text(text)

    def numbers(self, rows: int, first: int = 1) -> None:
        """A file of that many good orders."""
        lines = [f"{number},customer {number % 97},{number % 1000}" for number in range(first, first + rows)]
        self.write("\n".join(["id,name,amount", *lines]) + "\n")

    def job(self, run_id: str = "run_1", *, root: str | None = None, earlier: Any = None, **options: Any) -> Job:
        source: dict[str, Any] = {
            "id": "src",
            "kind": "source",
            "connector": "local_fs",
            "config": {"path": "orders.csv"},
        }
        handling: Mapping[str, Any] = options.pop("errorHandling", {})
        execution: dict[str, Any] = options.pop("execution", {})
        fields = options.pop("fields", None)
        if fields is not None:
            source["fields"] = [{"name": name, "dataType": kind} for name, kind in fields.items()]
        target = {"id": "tgt", "kind": "target", "input": "src", "schema": "public.ds_orders", **options}
        ir = {
            "kind": "pipeline",
            "version": "1.0",
            "id": "p",
            "metadata": {"name": "Orders"},
            "nodes": [source, target],
            "errorHandling": handling,
        }
        with Session(self.engine) as session:
            tables = frozenset(TenantCatalog(session, "default").schemas.tables())
        connector = ConnectorRecord("conn_1", "local_fs", {}, self.credentials)
        pipeline = RunPipeline("pipe_1", "default", "Orders", ir, 1, connector, execution, tables)
        continues = Continuation(root_run_id=root or run_id, earlier_plan=earlier)
        return Job(run_id, pipeline, self.url, self.root, continues, networks=_LOOPBACK, catalog_url=self.catalog_url)

    def execution(self, run_id: str = "run_1", **options: Any) -> Execution:
        return Execution(prepare(self.job(run_id, **options)), self.recorder)

    def run(self, run_id: str = "run_1", **options: Any) -> RunTotals:
        return run_in_threads(self.execution(run_id, **options))

    def table(self, query: str = "SELECT id, name, amount FROM public.ds_orders ORDER BY id") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(query)  # type: ignore[arg-type]
            return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        self.engine.dispose()
