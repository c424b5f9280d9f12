"""Applies the plan of one table: its schema, its pipeline, and its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from headrace.catalog.errors import Conflict
from headrace.catalog.models import DataSchema, Pipeline, Replication, new_id
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.repositories.schemas import definition_of
from headrace.catalog.schemas.ddl import TABLE_SCHEMA
from headrace.catalog.schemas.names import FieldDefinition
from headrace.flows.replication.table_plan import TablePlan

_MAX_DISPLAY_CHARS = 200


@dataclass(frozen=True, slots=True)
class Applied:
    """The pipeline of a table and the version of its IR that copies it."""

    pipeline_id: str
    ir_version: int


def apply_plan(catalog: TenantCatalog, replication: Replication, plan: TablePlan, pipeline_id: str | None) -> Applied:
    """Makes it in the caller's transaction; `pipeline_id` is that of a table that is known. Raises Conflict,
    LimitReached and Invalid as the catalog does."""
    schema = _schema(catalog, plan)
    if pipeline_id is None:
        pipeline = catalog.pipelines.add(_pipeline(replication, plan, schema.id))
    else:
        locked = catalog.pipelines.lock(pipeline_id)
        if locked is None or locked.replication_id != replication.id:
            raise Conflict(f"The pipeline of {plan.name} is gone")
        pipeline = locked
        _change(catalog, pipeline, replication, plan)
    document = cast("dict[str, Any]", dict(cast("Mapping[str, Any]", plan.document)))
    author = f"replication {replication.name}"
    saved = catalog.pipelines.save_ir(pipeline, document, authored_by=author, comment=None)
    columns = [each.model_dump(mode="json", exclude_defaults=True) for each in plan.columns]
    catalog.replications.put_table(
        replication.id, plan.name, pipeline_id=pipeline.id, columns=columns, names=plan.names
    )
    return Applied(pipeline.id, saved.version.version)


def _schema(catalog: TenantCatalog, plan: TablePlan) -> DataSchema:
    own = catalog.schemas.owned().where(DataSchema.table_name == plan.table.removeprefix(f"{TABLE_SCHEMA}."))
    schema_id = catalog.session.scalar(own.with_only_columns(DataSchema.id))
    if schema_id is None:
        return catalog.schemas.create(
            name=plan.schema_name,
            fields=plan.fields,
            display_name=_line(plan.name) or plan.schema_name,
            description=plan.comment[:4000] or None,
            entity_type="custom",
            schema_type="customer",
            auto_enrich=False,
        )
    schema = catalog.schemas.locked(schema_id)
    if schema is None:
        raise Conflict(f"The schema of {plan.name} is gone")
    there = {field.name.lower(): field for field in schema.fields}
    for wanted in plan.added or (plan.fields if plan.creates else ()):
        if wanted.name.lower() not in there:
            catalog.schemas.add_field(schema, wanted)
    for before, after in plan.altered:
        field = there.get(after.name.lower())
        if field is not None and _same_type(definition_of(field), before):
            catalog.schemas.change_field(schema, field, after)
    return schema


def _same_type(one: FieldDefinition, other: FieldDefinition) -> bool:
    def facts(field: FieldDefinition) -> tuple[object, ...]:
        return field.data_type, field.length, field.precision, field.scale

    return facts(one) == facts(other)


def _pipeline(replication: Replication, plan: TablePlan, schema_id: str) -> Pipeline:
    return Pipeline(
        id=new_id("pipe"),
        name=plan.pipeline_name,
        description=plan.comment[:4000] or None,
        status="draft",
        schedule=None,
        connector_id=replication.connector_id,
        schema_id=schema_id,
        execution_config=dict(plan.execution_config),
        nodes=[],
        edges=[],
        replication_id=replication.id,
    )


def _change(catalog: TenantCatalog, pipeline: Pipeline, replication: Replication, plan: TablePlan) -> None:
    wanted = {
        "name": plan.pipeline_name,
        "description": plan.comment[:4000] or None,
        "connector_id": replication.connector_id,
        "execution_config": dict(plan.execution_config),
    }
    if any(getattr(pipeline, name) != value for name, value in wanted.items()):
        for name, value in wanted.items():
            setattr(pipeline, name, value)
        catalog.pipelines.save(pipeline)


def _line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()[:_MAX_DISPLAY_CHARS]
