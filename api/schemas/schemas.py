"""Request and response models of schemas."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, WithJsonSchema

from headrace.api.wire import Description, Id, Name, RequestModel, ResponseModel, Timestamp, omitted
from headrace.ir.schema import DATA_TYPES


class FieldItem(ResponseModel):
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


class SchemaItem(ResponseModel):
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
    display_name: Name | None = None
    data_type: DataType = "varchar"
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    is_nullable: bool = True
    is_primary_key: bool = False
    is_unique: bool = False
    is_predictor: bool = False
    default_value: Default = None
    description: Description = ""


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
    display_name: Name
    description: Description | None = None
    entity_type: Name = "custom"
    schema_type: Name = "customer"
    linked_schema_id: Id | None = None
    join_mapping: dict[str, Any] | None = None
    summary_columns: list[Any] | None = None
    auto_enrich: bool = False
    fields: list[FieldBody] = Field(default_factory=list)


class UpdateSchema(RequestModel):
    """Changes of a schema's metadata; omitted fields are unchanged. The name cannot change, as the table has it."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": "schema_019ac0ffee", "displayName": "Clients"}]})

    id: Id
    name: Name = omitted()
    display_name: Name = omitted()
    description: Description | None = None
    entity_type: Name = omitted()
    schema_type: Name = omitted()
    linked_schema_id: Id | None = None
    join_mapping: dict[str, Any] | None = None
    summary_columns: list[Any] | None = None
    auto_enrich: bool = omitted()
