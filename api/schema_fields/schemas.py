"""The shapes of a schema's columns on the wire, besides those that a schema shows."""

from __future__ import annotations

from pydantic import ConfigDict

from api.schemas.schemas import DataType, Default, FieldItem
from api.wire import Body, Description, Id, Name, Shown, omitted


class FieldList(Shown):
    """All columns of a schema."""

    data: list[FieldItem]


class UpdateField(Body):
    """Changes of a column; what is left out stays, but for the sizes of a type that changes. The primary key cannot."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": "field_019ac0ffee", "length": 320}]})

    id: Id
    name: str = omitted()
    display_name: Name = omitted()
    data_type: DataType = omitted()
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    is_nullable: bool = omitted()
    is_primary_key: bool = omitted()
    is_unique: bool = omitted()
    is_predictor: bool = omitted()
    default_value: Default = None
    description: Description = omitted()
