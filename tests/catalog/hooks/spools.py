"""Webhooks in a migrated catalog, with what senders put into them, for tests that need no API."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy.orm import Session

from headrace.catalog.bootstrap import ensure_tenant
from headrace.catalog.engine import make_engine
from headrace.catalog.hooks.reading import SpoolReader
from headrace.catalog.hooks.writing import Delivery, Outcome, SpoolLimits, store
from headrace.catalog.models import Connector, Pipeline, new_id
from headrace.catalog.repositories import TenantCatalog
from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.files.paths import FilesRoot
from headrace.ir.schema import Schema
from tests.databases import Roles

ROOM = SpoolLimits(1_000_000, 1 << 30, 1_000_000, 24)


def delivery(body: bytes, key: str | None = None, headers: str | None = None) -> Delivery:
    hashed = None if key is None else hashlib.sha256(key.encode()).digest()
    sum_ = hashlib.sha256(body).digest()
    return Delivery(f"req_{uuid4().hex[:8]}", datetime.now(UTC), body, sum_, key, hashed, headers)


class Spools:
    """The webhooks of one database: `api` writes, `run` reads."""

    def __init__(self, roles: Roles, tenant: str = "default") -> None:
        self.engine, self.run_url, self.tenant = make_engine(roles.api), roles.run, tenant
        ensure_tenant(self.engine, tenant)
        self._names = itertools.count()

    def close(self) -> None:
        self.engine.dispose()

    def make(self, **config: Any) -> str:
        """The id of a new webhook."""
        with Session(self.engine) as session, session.begin():
            return TenantCatalog(session, self.tenant).connectors.add(self._record(config)).id

    def _record(self, config: dict[str, Any]) -> Connector:
        name = f"hook {uuid4().hex[:8]}"
        facts = {"auth_method": "access_key", "status": "active", "description": None, "auth_sealed": None}
        return Connector(id=new_id("conn"), name=name, type="webhook", config=config, **facts)

    def pipeline(self, hook: str, ir: dict[str, Any] | None = None) -> str:
        """The id of a new pipeline that reads the webhook by its source node `src`."""
        source = {"id": "src", "kind": "source", "connector": "webhook", "config": {}}
        ir = ir or {"kind": "pipeline", "version": "1.0", "id": "p", "metadata": {"name": "P"}, "nodes": [source]}
        with Session(self.engine) as session, session.begin():
            catalog = TenantCatalog(session, self.tenant)
            name = f"s{uuid4().hex[:12]}"
            schema = catalog.schemas.create(
                name=name,
                fields=[],
                display_name=name,
                description=None,
                entity_type="custom",
                schema_type="customer",
                auto_enrich=False,
            )
            facts: dict[str, Any] = {"status": "draft", "execution_config": {}, "nodes": [], "edges": []}
            made = Pipeline(id=new_id("pipe"), name=name, connector_id=hook, schema_id=schema.id, **facts)
            catalog.pipelines.add(made)
            catalog.pipelines.save_ir(made, ir, authored_by="alice")
            return made.id

    def put(self, hook: str, *bodies: bytes, limits: SpoolLimits = ROOM) -> list[Outcome]:
        """Stores bodies, in one transaction."""
        return store(self.engine, hook, [delivery(body) for body in bodies], limits)

    def reader(self, hook: str, pipeline: str = "", node: str = "src") -> SpoolReader:
        return SpoolReader(self.run_url, self.tenant, hook, pipeline, node)

    def context(self, hook: str, settings: dict[str, Any], fields: Schema = (), pipeline: str = "") -> Context:
        nowhere = Surroundings(FilesRoot(Path("/nowhere")), spool=self.reader(hook, pipeline))
        return Context(Connection(hook, "webhook"), nowhere, settings, fields)

    def there(self, hook: str) -> list[int]:
        """The numbers of the records that are kept."""
        query = "SELECT seq FROM headrace.hook_records WHERE connector_id = %s ORDER BY seq"
        with self.engine.begin() as connection:
            return [seq for (seq,) in connection.exec_driver_sql(query, (hook,))]


def numbers(bodies: Sequence[bytes]) -> list[int]:
    return [int(body) for body in bodies]
