"""Ways to copy a table from one PostgreSQL database to another, each measured: ours, psql's, those of others."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from benchmarks.measure import Taken, measured
from benchmarks.postgresql_tables import Table
from benchmarks.silence import Silence
from headrace.deployments.stack.database.installation import find_binaries
from headrace.deployments.stack.database.server import EmbeddedPostgres


@dataclass(frozen=True)
class Copies:
    """A table in the databases `source` and `target` of one server."""

    server: EmbeddedPostgres
    port: int
    name: str
    table: Table
    rows: int

    def url(self, database: str) -> str:
        return f"{self.server.url(database)}&port={self.port}"

    def over_tcp(self, database: str) -> str:
        """For programs that know no socket."""
        return f"postgresql://postgres:x@127.0.0.1:{self.port}/{database}"

    def tell(self, database: str, *statements: str) -> None:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def empty(self) -> None:
        """The target as it was at first."""
        self.tell("target", "DROP SCHEMA public CASCADE", "CREATE SCHEMA public", self.table.definition, "CHECKPOINT")

    def sums(self, database: str, *, columns: str = "*") -> tuple[Any, ...]:
        """How many rows there are, and a sum over all of them."""
        statement = f"SELECT count(*), sum({self.table.checked}) FROM (SELECT {columns} FROM {self.name}) t"
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            found = connection.execute(statement.encode()).fetchone()
        assert found is not None
        return found

    @property
    def columns(self) -> str:
        with psycopg.connect(self.url("source")) as connection:
            named = connection.execute(f"SELECT * FROM {self.name} LIMIT 0".encode()).description or ()
        return ", ".join(column.name for column in named)

    def check(self) -> None:
        """Raises SystemExit unless the target has as many rows as the source."""
        with psycopg.connect(self.url("target"), autocommit=True) as connection:
            found = connection.execute(f"SELECT count(*) FROM {self.name}".encode()).fetchone()
        if found != (self.rows,):
            raise SystemExit(f"{found} rows have arrived")


def _measured(made: Copies, work: Callable[[], float]) -> Taken:
    return measured(made.server.pid, work)


def psql(made: Copies) -> Taken:
    """Two psql and a pipe."""
    program = str(find_binaries() / "psql")

    def work() -> float:
        began = time.perf_counter()
        out = [program, made.url("source"), "-qc", f"COPY {made.name} TO STDOUT"]
        into = [program, made.url("target"), "-qc", f"COPY {made.name} ({made.columns}) FROM STDIN"]
        with subprocess.Popen(out, stdout=subprocess.PIPE) as reading:
            subprocess.run(into, stdin=reading.stdout, check=True)
        return time.perf_counter() - began

    return _measured(made, work)


def headrace(made: Copies, ops: Sequence[dict[str, Any]], parallelism: int = 2) -> Taken:
    """A run without an orchestrator, in a process of its own."""
    spawn = multiprocessing.get_context("spawn")

    def work() -> float:
        here, there = spawn.Pipe()
        child = spawn.Process(
            target=_run, args=(there, made.port, made.url("target"), made.name, [*ops], parallelism), daemon=True
        )
        child.start()
        there.close()
        try:
            seconds = float(here.recv())
        finally:
            child.join()
        return seconds

    return _measured(made, work)


def document(table: str, ops: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The pipeline that copies the table."""
    nodes: list[dict[str, Any]] = [
        {"id": "src", "kind": "source", "connector": "postgresql", "config": {"table": f"public.{table}"}}
    ]
    if ops:
        nodes.append({"id": "ops", "kind": "transform", "input": "src", "ops": [*ops]})
    nodes.append({"id": "tgt", "kind": "target", "input": nodes[-1]["id"], "schema": f"public.{table}"})
    return {"kind": "pipeline", "version": "1.0", "id": "copy", "metadata": {"name": "Copy"}, "nodes": nodes}


def job(
    port: int, url: str, table: str, ops: Sequence[dict[str, Any]], parallelism: int, run_id: str, **continued: Any
) -> Any:
    """The job of one run."""
    from headrace.catalog.runs.records import ConnectorRecord, RunPipeline
    from headrace.connectors.files.paths import FilesRoot
    from headrace.flows.resume.continuation import Continuation
    from headrace.flows.runtime.job import Job

    config = {"host": "127.0.0.1", "port": port, "database": "source"}
    connector = ConnectorRecord("conn_1", "postgresql", config, {"username": "postgres", "password": "x"})
    tables = frozenset({f"public.{table}"})
    pipeline = RunPipeline(
        "pipe_1", "default", "Copy", document(table, ops), 1, connector, {"parallelism": parallelism}, tables
    )
    continues = Continuation(**{"root_run_id": run_id, **continued})
    networks = (ip_network("127.0.0.0/8"),)
    return Job(run_id, pipeline, url, FilesRoot(Path(tempfile.gettempdir())), continues, networks=networks)


def _run(pipe: Any, port: int, url: str, table: str, ops: Sequence[dict[str, Any]], parallelism: int) -> None:
    from headrace.flows.runtime.execute import Execution
    from headrace.flows.runtime.prepare import prepare
    from headrace.flows.runtime.scheduler import run_in_threads

    began = time.perf_counter()
    prepared = prepare(job(port, url, table, ops, parallelism, uuid4().hex))
    run_in_threads(Execution(prepared, Silence()))
    prepared.close()
    pipe.send(time.perf_counter() - began)


_DLT = """
import sys, dlt
from dlt.sources.sql_database import sql_table
source, target, table, folder = sys.argv[1:]
rows = sql_table(source, table=table, schema="public", backend="pyarrow", chunk_size=100_000)
pipeline = dlt.pipeline("copy", pipelines_dir=folder, destination=dlt.destinations.postgres(target),
                        dataset_name="public")
pipeline.run(rows, write_disposition="append", loader_file_format="parquet", table_name=table)
"""


def dlt(made: Copies, python: str) -> Taken:
    """dlt with its quickest settings: pyarrow, parquet, ADBC."""

    def work() -> float:
        made.tell("target", f"DROP TABLE IF EXISTS {made.name}")  # it makes its own
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            given = [
                made.over_tcp("source").replace("://", "+psycopg2://", 1),
                made.over_tcp("target"),
                made.name,
                folder,
            ]
            environment = {"RUNTIME__DLTHUB_TELEMETRY": "false", "DATA_WRITER__FILE_MAX_ITEMS": "500000"}
            subprocess.run([python, "-c", _DLT, *given], check=True, env={**os.environ, **environment})
            return time.perf_counter() - began

    return _measured(made, work)


def sling(made: Copies, program: str) -> Taken:
    """Sling from table to table."""

    def work() -> float:
        began = time.perf_counter()
        name = f"public.{made.name}"
        command = [program, "run", "--src-conn", "SOURCE", "--src-stream", name, "--tgt-conn", "TARGET"]
        command += ["--tgt-object", name, "--mode", "truncate"]
        connections = {
            each.upper(): json.dumps({"type": "postgres", "url": f"{made.over_tcp(each)}?sslmode=disable"})
            for each in ("source", "target")
        }
        environment = {**os.environ, **connections, "SLING_DISABLE_TELEMETRY": "true"}
        subprocess.run([*command], check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return time.perf_counter() - began

    return _measured(made, work)
