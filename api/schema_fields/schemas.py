"""Request and response models of a schema's columns, besides those in `api.schemas.schemas`."""

from __future__ import annotations

from pydantic import ConfigDict

from headrace.api.schemas.schemas import DataType, Default, FieldItem
from headrace.api.wire import Description, Id, Name, RequestModel, ResponseModel, omitted


class FieldList(ResponseModel):
    """All columns of a schema."""

    data: list[FieldItem]


class UpdateField(RequestModel):
    """Changes of a column; omitted fields are unchanged, except sizes when the type changes. The key cannot change."""

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
