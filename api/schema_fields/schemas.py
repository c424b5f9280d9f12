"""Request and response models of a schema's columns, besides those in `api.schemas.schemas`."""

from __future__ import annotations

from pydantic import ConfigDict

from headrace.api.schemas.schemas import DataType, Default, FieldItem
from headrace.api.wire import Description, Id, Name, RequestModel, ResponseModel, omitted


class FieldList(ResponseModel):
    """All columns of a schema."""

    data: list[FieldItem]
    """The columns, in order."""


class UpdateField(RequestModel):
    """Changes of a column; omitted fields are unchanged, except sizes when the type changes. The key cannot change."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": "field_019ac0ffee", "length": 320}]})

    id: Id
    """The column's id: `field_…`."""
    name: str = omitted()
    """The new name of the column in the table; needs `confirm=true`."""
    display_name: Name = omitted()
    """The new name for people."""
    data_type: DataType = omitted()
    """The new type; values that it cannot hold are refused, and a possible loss needs `confirm=true`."""
    length: int | None = None
    """The most characters of a `varchar`; null for no limit."""
    precision: int | None = None
    """Digits of a `decimal` in total; null for no limit."""
    scale: int | None = None
    """Digits of a `decimal` after the point; needs `precision`."""
    is_nullable: bool = omitted()
    """Whether a value may be missing."""
    is_primary_key: bool = omitted()
    """May be repeated, but not changed."""
    is_unique: bool = omitted()
    """Whether no two rows may have the same value."""
    is_predictor: bool = omitted()
    """Whether models may use it as an input; stored for other programs."""
    default_value: Default = None
    """The value of new rows that do not give one, as text, a number or a Boolean; null removes it."""
    description: Description = omitted()
    """A text for people, also the column's comment in PostgreSQL."""
