"""Whole runs of replications without Prefect and the API: tables are found and planned, DDL executed, pipelines run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from headrace.catalog.runs.records import ConnectorRecord, RunPipeline
from headrace.connectors.connector import Connection, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.registry import of_type
from headrace.flows.replication.ddl import statements
from headrace.flows.replication.discover import discover
from headrace.flows.replication.expand import Expansion
from headrace.flows.replication.table_plan import KnownTable, Now, TablePlan
from headrace.flows.resume.continuation import Continuation
from headrace.flows.runtime.execute import Execution, RunTotals
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.scheduler import run_in_threads
from headrace.ir.replication import parse_replication
from tests.flows.runtime.runs import Recording
from tests.replicated import document

_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


@dataclass
class Copies:
    """A replication of a connection of type `kind` into the database `url`. What the catalog keeps is kept here."""

    url: str
    kind: str
    config: dict[str, Any]
    credentials: dict[str, Any]
    how: dict[str, Any]
    """More of the document: sources, defaults, overrides."""
    tables: dict[str, KnownTable] = field(default_factory=dict)
    recorder: Recording = field(default_factory=Recording)

    def plans(self) -> dict[str, TablePlan]:
        """What a run would do, by table."""
        parsed = parse_replication(document("shop", "db", **self.how))
        assert parsed.document is not None, parsed.problems
        connector = of_type(self.kind)
        assert connector is not None
        connection = Connection("conn_1", self.kind, self.config, self.credentials)
        surroundings = Surroundings(FilesRoot(Path("/nowhere")), _LOOPBACK)
        found = discover(connection, surroundings, parsed.document)
        now = Now(tables=self.tables, settled=bool(self.tables))
        return {plan.name: plan for plan in Expansion(parsed.document, connector, "default", now).plans(found)}

    def run(self) -> dict[str, RunTotals]:
        """Copies all tables that can be; the totals by table."""
        return {name: self._copied(plan) for name, plan in self.plans().items() if plan.runs}

    def _copied(self, plan: TablePlan) -> RunTotals:
        with psycopg.connect(self.url) as connection:
            for statement in statements(plan):
                connection.execute(statement.encode())
        pipeline = f"pipe_{plan.name}"
        fields = tuple(replace(each) for each in (*plan.fields, *plan.added))
        self.tables[plan.name] = KnownTable(
            plan.name, pipeline, "schema", plan.schema_name, plan.columns, plan.names, fields, plan.document
        )
        record = ConnectorRecord("conn_1", self.kind, self.config, self.credentials)
        ir = dict(plan.document or {})
        made = RunPipeline(pipeline, "default", plan.name, ir, 1, record, {"parallelism": 2}, frozenset({plan.table}))
        run_id = f"run_{uuid4().hex}"
        job = Job(run_id, made, self.url, Path("/nowhere"), Continuation(root_run_id=run_id), networks=_LOOPBACK)
        return run_in_threads(Execution(prepare(job), self.recorder))

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, options="-ctimezone=UTC") as connection:
            return connection.execute(query.encode()).fetchall()
