"""Base models and types of request and response bodies: camelCase names, timestamps in UTC with milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema

from headrace.ir.base import DisplayName, refuse_booleans


def timestamp(at: datetime) -> str:
    """The time in UTC with milliseconds: `2026-01-15T09:00:00.000Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


Timestamp = Annotated[
    datetime,
    PlainSerializer(timestamp),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]

Name = DisplayName
Description = Annotated[str, StringConstraints(max_length=4000)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=128)]


def omitted() -> Any:
    """Default of a field that an update may omit but not set to null; `model_fields_set` shows whether it was given."""
    return Field(default=None, json_schema_extra=_without_default)


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


class ResponseModel(BaseModel):
    """Base of response models."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)


class RequestModel(BaseModel):
    """Base of request models. Unknown fields are refused, so that a misspelt one is not ignored."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        refuse_booleans(schema)
        return schema
