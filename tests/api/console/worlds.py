"""A pipeline with runs for the console to show, reported as flows report them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import text

from headrace.api.app import BASE_PATH
from headrace.catalog.replications.store import ReplicationRunStore
from tests.api.conftest import IR, Facade, created
from tests.replicated import document

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'"
"""A text that is markup if it is not escaped."""


@dataclass(frozen=True)
class World:
    """A pipeline with two versions; a run of it that completed with errors, one that failed and one that waits. A
    replication with a run that failed, `copied_id`, and one that waits."""

    pipeline_id: str
    run_id: str
    failed_id: str
    waiting_id: str
    connector_id: str = "conn_x"
    schema_id: str = "schema_x"
    replication_id: str = "repl_x"
    copied_id: str = "run_x"
    copying_id: str = "run_y"

    @property
    def ids(self) -> dict[str, str]:
        """The values of path parameters."""
        return {"pipeline_id": self.pipeline_id, "run_id": self.run_id}

    def missing(self) -> World:
        """The same with ids of nothing."""
        changed = {name: value[:-4] + "0bad" for name, value in vars(self).items()}
        return World(**changed)


def checked_ir() -> dict[str, Any]:
    """A document with a validate node that keeps what it rejects; names and values in it are hostile."""
    source, target = IR["nodes"]
    rule = {"id": "positive", "field": "amount", "rule": "gt:0", "onFail": "quarantine"}
    check = {
        "id": "check",
        "kind": "validate",
        "input": "src",
        "rowLevel": [rule],
        "quarantine": {"table": "dlq.orders"},
    }
    source = {**source, "fields": [{"name": "amount", "dataType": "integer"}]}
    return {**IR, "metadata": {"name": HOSTILE}, "nodes": [source, check, {**target, "input": "check"}]}


def new_world(facade: Facade, name: str = "") -> World:
    """A new pipeline of the tenant `default`."""
    made = facade.pipeline(name or f"w{uuid4().hex[:12]}", description=HOSTILE, ir=checked_ir())
    pipeline = made["id"]
    path = f"{BASE_PATH}/pipelines/{pipeline}"
    second = checked_ir()
    second["nodes"][1]["rowLevel"][0]["rule"] = "gt:1"
    assert facade.editor.post(f"{path}/ir", json={"ir": second, "comment": HOSTILE}).status_code == 201
    runs = [created(facade.editor, f"{path}/run", {})["id"] for _ in range(3)]
    plan = {"stages": [{"name": f"src → check → tgt {HOSTILE}", "nodes": ["src", "check", "tgt"]}]}
    for run_id in runs[:2]:
        facade.store.started(run_id, total_rows=1000, fingerprint={}, plan=plan, partitions=[(0, 0, 600), (0, 1, 400)])
    done, failed, waiting = runs
    for index, read in enumerate((600, 400)):
        counts = {"rows_in": read, "rows_out": read - 12, "failed": 10, "skipped": 2}
        nodes = {
            "src": {"rowsIn": read, "rowsOut": read},
            "check": {"rowsIn": read, "rowsOut": read - 12, "failed": 10, "skipped": 2, "warned": 1},
            "tgt": {"rowsIn": read - 12, "rowsOut": read - 12},
        }
        facade.store.counts.report(done, 0, index, status="completed", nodes=nodes, **counts)
    rows = list(range(1, 61))
    place = [{"node": "src", "file": f"orders {HOSTILE}.csv", "row": 7}]
    cells = [
        {
            "row": row,
            "column": "amount",
            "value": HOSTILE if row % 2 else str(-row),
            "error": "Must be greater than 0",
            "rule": "positive",
            "sources": json.dumps(place),
        }
        for row in rows
    ]
    facade.store.cells.add(done, done, "check", 0, 0, cells=json.dumps(cells))
    facade.store.log(done, "load", f"said {HOSTILE}")
    facade.store.finished(done, status="completed_with_errors", failure_reason=None)
    facade.store.finished(failed, status="failed", failure_reason=f"The file {HOSTILE} is gone")
    copies = new_replication(facade, done)
    return World(pipeline, done, failed, waiting, made["connectorId"], made["schemaId"], *copies)


def new_replication(facade: Facade, child: str) -> tuple[str, str, str]:
    """A replication, a run of it that failed (one table has the run `child`), and one that waits."""
    name = f"r{uuid4().hex[:12]}"
    database = {"type": "postgresql", "config": {"host": "127.0.0.1", "port": 1, "database": "shop"}}
    login = {"username": "reader", "password": "hunter2"}
    source = created(facade.editor, f"{BASE_PATH}/connectors", {"name": name, **database, "authConfig": login})["id"]
    body = {"document": document(name, source)}
    replication = created(facade.editor, f"{BASE_PATH}/replications", body)["id"]
    path = f"{BASE_PATH}/replications/{replication}/run"
    copied, copying = (created(facade.editor, path, {})["id"] for _ in range(2))
    tables = text(
        "INSERT INTO headrace.replication_run_tables (run_id, name, change, status, child_run_id, message) VALUES"
        " (:run, 'sales.orders', 'changed', 'completed_with_errors', :child, NULL),"
        " (:run, :hostile, 'new', 'refused', NULL, :hostile)"
    )
    with facade.engine.begin() as connection:
        for run in (copied, copying):
            connection.execute(tables, {"run": run, "child": child, "hostile": HOSTILE})
    ReplicationRunStore(facade.engine).finished(copied, status="failed", failure_reason=f"1 of 2 tables: {HOSTILE}")
    return replication, copied, copying


def more_pipelines(facade: Facade, like: str, count: int) -> None:
    """Pipelines `beta 0`, `beta 1` … that are like one that exists, as quickly as the database makes them."""
    statement = text(
        "INSERT INTO headrace.pipelines (id, tenant_id, name, status, connector_id, schema_id, execution_config, nodes,"
        " edges) SELECT id || '_' || n, tenant_id, 'beta ' || n, status, connector_id, schema_id, execution_config,"
        " nodes, edges FROM headrace.pipelines, generate_series(0, :count - 1) n WHERE id = :id"
    )
    with facade.engine.begin() as connection:
        connection.execute(statement, {"id": like, "count": count})
