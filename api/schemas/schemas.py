"""Request and response models of schemas."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from headrace.api.wire import (
    ColumnType,
    CreatedAt,
    Description,
    Id,
    Name,
    RequestModel,
    ResponseModel,
    SchemaId,
    TenantId,
    UpdatedAt,
    omitted,
)
from headrace.ir.schema import DATA_TYPES


class FieldItem(ResponseModel):
    """One column."""

    id: str
    """The column's id: `field_…`."""
    schema_id: SchemaId
    name: str
    """The name of the column in the table."""
    display_name: str
    """The name for people."""
    data_type: ColumnType
    length: int | None
    """The most characters of a `varchar`; null for other types, and without a limit."""
    precision: int | None
    """Digits of a `decimal` in total; null for other types, and without a limit."""
    scale: int | None
    """Digits of a `decimal` after the point; null for other types, and without a precision."""
    is_nullable: bool
    """Whether a value may be missing."""
    is_primary_key: bool
    """Whether the column is a part of the primary key."""
    is_unique: bool
    """Whether no two rows may have the same value."""
    is_predictor: bool
    """Whether models may use it as an input; stored for other programs."""
    default_value: str | None
    """The value of rows that do not give one, as text; null without one."""
    description: str
    """A text for people, also the column's comment in PostgreSQL; empty without one."""
    ordinal: int
    """The position of the column, from 1."""


class SchemaItem(ResponseModel):
    """A schema with its columns."""

    id: SchemaId
    tenant_id: TenantId
    name: str
    """The name in lower-case letters, digits and underscores, unique in the tenant."""
    display_name: str
    """The name for people."""
    description: str | None
    """A text for people, also the table's comment in PostgreSQL; null without one."""
    table_name: str
    """The table in the PostgreSQL schema `public`: `ds_…`."""
    entity_type: str
    """What a row is, such as `customer`, `account` or `custom`; any name."""
    schema_type: str
    """What the rows are about, such as `customer`, `transaction` or `event`; any name."""
    status: str
    """`active`; later releases may add further values."""
    linked_schema_id: str | None
    """The schema of type `customer` that the rows refer to; null without one."""
    join_mapping: dict[str, Any] | None
    """How the rows refer to it, stored for other programs; null without one."""
    summary_columns: list[Any] | None
    """The columns for summaries, stored for other programs; null without any."""
    auto_enrich: bool
    """Whether other programs may enrich the rows; stored for them."""
    fields: list[FieldItem]
    """The columns, in order."""
    created_at: CreatedAt
    updated_at: UpdatedAt


def _as_text(value: object) -> object:
    """Converts defaults given as JSON numbers and booleans to text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


DataType = Annotated[str, WithJsonSchema({"type": "string", "enum": list(DATA_TYPES)})]
"""Any string: the type is checked together with the rest of the column, so that all problems are reported at once."""
Default = Annotated[str | None, BeforeValidator(_as_text)]


class FieldBody(RequestModel):
    """A new column; its values are checked when the table is created."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "email", "dataType": "varchar", "length": 255}]})

    name: str
    """The name of the column in the table: letters, digits and underscores, at most 63, the first not a digit."""
    display_name: Name | None = None
    """The name for people; by default `name`."""
    data_type: DataType = "varchar"
    """The type of its values."""
    length: int | None = None
    """The most characters of a `varchar`; null for no limit, and for other types."""
    precision: int | None = None
    """Digits of a `decimal` in total; null for no limit, and for other types."""
    scale: int | None = None
    """Digits of a `decimal` after the point; needs `precision`."""
    is_nullable: bool = True
    """Whether a value may be missing."""
    is_primary_key: bool = False
    """Whether the column is a part of the primary key."""
    is_unique: bool = False
    """Whether no two rows may have the same value."""
    is_predictor: bool = False
    """Whether models may use it as an input; stored for other programs."""
    default_value: Default = None
    """The value of rows that do not give one, as text, a number or a Boolean; null for none."""
    description: Description = ""
    """A text for people, also the column's comment in PostgreSQL."""


class CreateSchema(RequestModel):
    """A new schema with its table."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "customers",
                    "displayName": "Customers",
                    "entityType": "customer",
                    "fields": [
                        {"name": "customer_id", "dataType": "bigint", "isPrimaryKey": True, "isNullable": False},
                        {"name": "email", "dataType": "varchar", "length": 255, "isUnique": True},
                    ],
                }
            ]
        }
    )

    name: Name
    """The name, unique in the tenant; stored in lower-case letters, digits and underscores. The table is named after
    it."""
    display_name: Name
    """The name for people."""
    description: Description | None = None
    """A text for people, also the table's comment in PostgreSQL."""
    entity_type: Name = "custom"
    """What a row is, such as `customer`, `account` or `custom`; any name."""
    schema_type: Name = "customer"
    """What the rows are about, such as `customer`, `transaction` or `event`; any name."""
    linked_schema_id: Id | None = None
    """The id of the schema of type `customer` that the rows refer to."""
    join_mapping: dict[str, Any] | None = None
    """How the rows refer to it, stored for other programs."""
    summary_columns: list[Any] | None = None
    """The columns for summaries, stored for other programs."""
    auto_enrich: bool = False
    """Whether other programs may enrich the rows; stored for them."""
    fields: list[FieldBody] = Field(default_factory=list)
    """The columns, in order; more can be added later."""


class UpdateSchema(RequestModel):
    """Changes of a schema's metadata; omitted fields are unchanged. The name cannot change, as the table has it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": "schema_019ac0ffee", "displayName": "Clients"}]})

    id: Id
    """The schema's id: `schema_…`."""
    name: Name = omitted()
    """May be repeated, but not changed."""
    display_name: Name = omitted()
    """The new name for people."""
    description: Description | None = None
    """A text for people, also the table's comment in PostgreSQL; null removes it."""
    entity_type: Name = omitted()
    """What a row is, such as `customer`, `account` or `custom`; any name."""
    schema_type: Name = omitted()
    """What the rows are about, such as `customer`, `transaction` or `event`; any name."""
    linked_schema_id: Id | None = None
    """The id of the schema of type `customer` that the rows refer to; null removes the link."""
    join_mapping: dict[str, Any] | None = None
    """How the rows refer to it, stored for other programs; null removes it."""
    summary_columns: list[Any] | None = None
    """The columns for summaries, stored for other programs; null removes them."""
    auto_enrich: bool = omitted()
    """Whether other programs may enrich the rows; stored for them."""
