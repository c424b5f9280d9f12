"""The shapes of a schema on the wire."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from api.wire import Body, Description, Id, Name, Shown, Timestamp


class FieldItem(Shown):
    """One column."""

    id: str
    schema_id: str
    name: str
    display_name: str
    data_type: str
    length: int | None
    precision: int | None
    scale: int | None
    is_nullable: bool
    is_primary_key: bool
    is_unique: bool
    is_predictor: bool
    default_value: str | None
    description: str
    ordinal: int


class SchemaItem(Shown):
    """A schema with its columns; `tableName` is its table in `public`."""

    id: str
    tenant_id: str
    name: str
    display_name: str
    description: str | None
    table_name: str
    entity_type: str
    schema_type: str
    status: str
    linked_schema_id: str | None
    join_mapping: dict[str, Any] | None
    summary_columns: list[Any] | None
    auto_enrich: bool
    fields: list[FieldItem]
    created_at: Timestamp
    updated_at: Timestamp


def _as_text(value: object) -> object:
    """Defaults of numeric and boolean columns may be given as JSON numbers and booleans."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


class FieldBody(Body):
    """A column to be; what it may hold is checked where the table is made."""

    name: str
    display_name: Name | None = None
    data_type: str = "varchar"
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    is_nullable: bool = True
    is_primary_key: bool = False
    is_unique: bool = False
    is_predictor: bool = False
    default_value: Annotated[str | None, BeforeValidator(_as_text)] = None
    description: Description = ""


class CreateSchema(Body):
    """A schema and its table to be."""

    name: Name
    display_name: Name
    description: Description | None = None
    entity_type: Name = "custom"
    schema_type: Name = "customer"
    linked_schema_id: Id | None = None
    join_mapping: dict[str, Any] | None = None
    summary_columns: list[Any] | None = None
    auto_enrich: bool = False
    fields: list[FieldBody] = Field(default_factory=list)
