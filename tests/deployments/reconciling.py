"""A catalog with the objects of a pipeline, for tests of the jobs that follow it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from headrace.catalog.bootstrap import ensure_tenant
from headrace.catalog.engine import make_engine
from headrace.catalog.models import Connector, Pipeline, new_id
from headrace.catalog.repositories import TenantCatalog
from tests.databases import Roles


@pytest.fixture
def engine(migrated: Roles) -> Iterator[Engine]:
    engine = make_engine(migrated.api)
    ensure_tenant(engine, "default")
    with Session(engine) as session, session.begin():
        catalog = TenantCatalog(session, "default")
        connector = Connector(
            id="conn_1", name="files", type="local_fs", config={}, auth_method="none", auth_sealed=None, status="active"
        )
        catalog.connectors.add(connector)
        shape: dict[str, Any] = {
            "display_name": "O",
            "description": None,
            "entity_type": "custom",
            "auto_enrich": False,
        }
        catalog.schemas.create(name="orders", fields=[], schema_type="customer", **shape)
    yield engine
    engine.dispose()


def save(engine: Engine, name: str = "orders", *, schedule: str | None = None) -> str:
    """A new pipeline, as a facade saves it while Prefect is away."""
    with Session(engine) as session, session.begin():
        catalog = TenantCatalog(session, "default")
        [schema_id] = catalog.schemas.tables().values()
        pipeline = Pipeline(
            id=new_id("pipe"),
            name=name,
            status="draft",
            schedule=schedule,
            connector_id="conn_1",
            schema_id=schema_id,
            execution_config={},
            nodes=[],
            edges=[],
        )
        catalog.pipelines.add(pipeline)
        catalog.pipelines.save_ir(pipeline, {"nodes": []}, authored_by="me")
        return pipeline.id
