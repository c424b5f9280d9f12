"""Tables of schemas, made and looked at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from headrace.catalog.models import DataSchema
from headrace.catalog.repositories import TenantCatalog
from headrace.catalog.schemas.ddl import FieldDefinition


def field(name: str, data_type: str = "text", **rest: Any) -> FieldDefinition:
    return FieldDefinition(name=name, display_name=name, data_type=data_type, **rest)


def create(catalog: TenantCatalog, name: str, fields: Sequence[FieldDefinition]) -> DataSchema:
    return catalog.schemas.create(
        name=name,
        fields=fields,
        display_name=name,
        description=None,
        entity_type="custom",
        schema_type="customer",
        auto_enrich=False,
    )


def columns_of(session: Session, table: str) -> dict[str, str]:
    query = text(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = :t ORDER BY ordinal_position"
    )
    return {row.column_name: row.data_type for row in session.execute(query, {"t": table})}
