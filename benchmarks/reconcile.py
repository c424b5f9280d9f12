"""How long Prefect needs to follow the catalog: 1,000 new pipelines, nothing to do, 100 deployments lost.

    python -m benchmarks.reconcile [pipelines]

Starts a stack of its own and lets its facade do the work, as after a restore of the catalog.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from headrace.catalog.engine import make_engine
from headrace.catalog.models import Connector, Pipeline, new_id
from headrace.catalog.repositories import TenantCatalog
from headrace.deployments.prefect.orchestrator import Orchestrator
from headrace.deployments.stack.detached import start_detached, stop_detached
from headrace.deployments.stack.layout import TENANT, Layout
from headrace.deployments.stack.options import StackOptions
from headrace.deployments.stack.state import StackState
from headrace.deployments.sync.reconciler import Reconciler


def main(pipelines: int) -> None:
    """Prints one line per measurement."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-reconcile-"))
    options = StackOptions(folder, "127.0.0.1", 0, 0, None, None, None)
    try:
        state = start_detached(options, lambda _: None)
        try:
            measure(state, pipelines)
        finally:
            stop_detached(Layout.of(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(state: StackState, pipelines: int) -> None:
    engine = make_engine(state.database_url)
    orchestrator = Orchestrator(state.prefect_api)
    reconciler = Reconciler(engine, orchestrator)
    save(engine, pipelines)
    timed(f"{pipelines} new pipelines, each with a schedule", lambda: settled(engine))
    orchestrator.state(f"run_{0:032x}")  # imports Prefect's client, which a facade has done by then
    timed("all in line: compare", reconciler.compare)
    timed("all in line: sweep", reconciler.sweep)
    lost = min(100, pipelines)
    with state.prefect_api.client(30) as prefect:
        for deployment in prefect.post("/deployments/filter", json={"limit": lost}).json():
            prefect.delete(f"/deployments/{deployment['id']}").raise_for_status()
    timed(f"{lost} deployments deleted in Prefect: compare", reconciler.compare)
    timed(f"{lost} deployments deleted in Prefect: made again", lambda: settled(engine))
    orchestrator.close()
    engine.dispose()


def save(engine: Engine, pipelines: int) -> None:
    """Pipelines as the facade saves them."""
    with Session(engine) as session, session.begin():
        catalog = TenantCatalog(session, TENANT)
        connector = Connector(
            id=new_id("conn"),
            name="files",
            type="local_fs",
            config={},
            auth_method="none",
            auth_sealed=None,
            status="active",
        )
        catalog.connectors.add(connector)
        schema = catalog.schemas.create(
            name="orders",
            fields=[],
            schema_type="customer",
            display_name="Orders",
            description=None,
            entity_type="custom",
            auto_enrich=False,
        )
        for number in range(pipelines):
            pipeline = Pipeline(
                id=new_id("pipe"),
                name=f"orders {number}",
                status="draft",
                schedule=f"{number % 60} {number % 24} * * *",
                connector_id=connector.id,
                schema_id=schema.id,
                execution_config={},
                nodes=[],
                edges=[],
            )
            catalog.pipelines.add(pipeline)
            catalog.pipelines.save_ir(pipeline, {"nodes": []}, authored_by="benchmark")


def settled(engine: Engine) -> int:
    """Waits until no change waits for Prefect."""
    while True:
        with engine.connect() as connection:
            if not connection.scalar(text("SELECT count(*) FROM headrace.deployment_changes")):
                return 0
        time.sleep(0.1)


def timed(what: str, action: Callable[[], object]) -> None:
    began = time.perf_counter()
    action()
    print(f"{what:60} {time.perf_counter() - began:7.2f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
