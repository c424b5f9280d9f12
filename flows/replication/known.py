"""The catalog's records of a replication, as the expansion needs them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from headrace.catalog.models import DataSchema, Pipeline, PipelineIrVersion, Replication
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.repositories.schemas import definition_of
from headrace.catalog.schemas.names import table_name
from headrace.flows.replication.found import FoundColumn, FoundTable
from headrace.flows.replication.naming import pipeline_name, schema_name
from headrace.flows.replication.table_plan import KnownTable, Now
from headrace.ir.replication import ReplicationIR


def known(
    catalog: TenantCatalog, replication: Replication, document: ReplicationIR, found: Sequence[FoundTable]
) -> Now:
    """The tenant's records of the found tables, and of the replication's tables."""
    tables = _tables(catalog, replication)
    named = {
        schema_name(document.settings_of(each.name).settings.target, each, document.metadata.name) for each in found
    }
    labels = {pipeline_name(document.metadata.name, each.name) for each in found}
    loaded = catalog.replications.loaded_by_others(replication.id)
    taken = {
        name: f"the pipeline '{owner}'"
        for name in named
        if (owner := loaded.get(table_name(catalog.tenant_id, name))) is not None
    }
    query = catalog.schemas.owned().where(DataSchema.name.in_(named - taken.keys())).options(*catalog.schemas.options)
    schemas: Sequence[DataSchema] = catalog.session.scalars(query).all()
    of_others = catalog.pipelines.owned().with_only_columns(Pipeline.name)
    of_others = of_others.where(Pipeline.name.in_(labels), Pipeline.replication_id.is_distinct_from(replication.id))
    return Now(
        tables=tables,
        schemas={each.name: tuple(map(definition_of, each.fields)) for each in schemas},
        taken=taken,
        pipelines=frozenset(catalog.session.scalars(of_others)),
        seen=frozenset(each.name for each in catalog.replications.tables(replication.id) if each.pipeline_id is None),
        settled=replication.settled == sources_digest(document, replication.connector_id),
    )


def sources_digest(document: ReplicationIR, connector_id: str) -> str:
    """A digest of what decides which tables are copied."""
    facts = [connector_id, sorted(document.sources.include), sorted(document.sources.exclude)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _tables(catalog: TenantCatalog, replication: Replication) -> dict[str, KnownTable]:
    stored = catalog.replications.tables(replication.id)
    pipelines = {
        pipeline.id: (pipeline, ir)
        for pipeline, ir in catalog.session.execute(
            select(Pipeline, PipelineIrVersion.ir)
            .outerjoin(
                PipelineIrVersion,
                (PipelineIrVersion.pipeline_id == Pipeline.id) & (PipelineIrVersion.version == Pipeline.live_version),
            )
            .where(Pipeline.tenant_id == catalog.tenant_id, Pipeline.replication_id == replication.id)
        )
    }
    ids = [pipeline.schema_id for pipeline, _ in pipelines.values()]
    query = catalog.schemas.owned().where(DataSchema.id.in_(ids)).options(*catalog.schemas.options)
    schemas: dict[str, DataSchema] = {each.id: each for each in catalog.session.scalars(query)}
    found: dict[str, KnownTable] = {}
    for table in stored:
        if table.pipeline_id is None:
            continue
        pipeline, ir = pipelines[table.pipeline_id]
        schema = schemas[pipeline.schema_id]
        document: dict[str, Any] | None = ir
        found[table.name] = KnownTable(
            name=table.name,
            pipeline_id=table.pipeline_id,
            schema_id=schema.id,
            schema_name=schema.name,
            columns=tuple(FoundColumn.model_validate(each) for each in table.columns),
            names=table.names,
            fields=tuple(map(definition_of, schema.fields)),
            document=document,
        )
    return found
