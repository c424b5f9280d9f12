"""A migrated catalog with two tenants."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from headrace.catalog.bootstrap import ensure_tenant
from headrace.catalog.engine import make_engine
from headrace.catalog.models import Connector, Pipeline, new_id
from headrace.catalog.repositories import TenantCatalog
from tests.databases import Roles, in_public

IR = {
    "kind": "pipeline",
    "version": "1.0",
    "id": "orders",
    "metadata": {"name": "orders"},
    "nodes": [
        {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": "orders.csv", "format": "csv"}},
        {"id": "tgt", "kind": "target", "input": "src", "schema": "public.ds_orders", "loadMode": "append"},
    ],
}


@pytest.fixture
def engine(migrated: Roles) -> Iterator[Engine]:
    engine = make_engine(in_public(migrated.api))
    ensure_tenant(engine, "default")
    ensure_tenant(engine, "other")
    yield engine
    engine.dispose()


@pytest.fixture
def session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


@pytest.fixture
def mine(session: Session) -> TenantCatalog:
    return TenantCatalog(session, "default")


@pytest.fixture
def theirs(session: Session) -> TenantCatalog:
    return TenantCatalog(session, "other")


def add_connector(catalog: TenantCatalog, name: str = "files", auth_sealed: bytes | None = None) -> Connector:
    return catalog.connectors.add(
        Connector(
            id=new_id("conn"),
            name=name,
            type="local_fs",
            config={"root": "x"},
            auth_method="none",
            auth_sealed=auth_sealed,
            status="active",
        )
    )


def add_pipeline(catalog: TenantCatalog, name: str = "orders", *, with_ir: bool = True) -> Pipeline:
    connector = add_connector(catalog, f"files of {name}")
    schema = catalog.schemas.create(
        name=name,
        fields=[],
        display_name=name,
        description=None,
        entity_type="custom",
        schema_type="customer",
        auto_enrich=False,
    )
    pipeline = catalog.pipelines.add(
        Pipeline(
            id=new_id("pipe"),
            name=name,
            status="draft",
            connector_id=connector.id,
            schema_id=schema.id,
            execution_config={"parallelism": 2},
            nodes=[],
            edges=[],
        )
    )
    if with_ir:
        catalog.pipelines.save_ir(pipeline, IR, authored_by="alice")
    catalog.session.commit()
    return pipeline
