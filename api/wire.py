"""Base models and types of request and response bodies: camelCase names, timestamps in UTC with milliseconds."""

from __future__ import annotations

import re
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
from headrace.ir.schema import DataType


def timestamp(at: datetime) -> str:
    """The time in UTC with milliseconds: `2026-01-15T09:00:00.000Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


Timestamp = Annotated[
    datetime,
    PlainSerializer(timestamp),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]

CreatedAt = Annotated[Timestamp, Field(description="When it was created.")]
UpdatedAt = Annotated[Timestamp, Field(description="When it was last changed.")]

TenantId = Annotated[str, Field(description="The tenant that it belongs to.")]
ConnectorId = Annotated[str, Field(description="The id of the connector: `conn_…`.")]
SchemaId = Annotated[str, Field(description="The id of the schema: `schema_…`.")]
PipelineId = Annotated[str, Field(description="The id of the pipeline: `pipe_…`.")]
ReplicationId = Annotated[str, Field(description="The id of the replication: `repl_…`.")]
RunId = Annotated[str, Field(description="The id of the run: `run_` and the 32 hex digits of its flow run in Prefect.")]

ColumnType = Annotated[DataType, Field(description="The type of the column's values, as in the IR.")]
Precision = Annotated[int | None, Field(description="Digits of a `decimal` in total; null without a limit.")]
Scale = Annotated[int | None, Field(description="Digits of a `decimal` after the point; null without a precision.")]

Name = DisplayName
Description = Annotated[str, StringConstraints(max_length=4000)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=128)]


def omitted() -> Any:
    """Default of a field that an update may omit but not set to null; `model_fields_set` shows whether it was given."""
    return Field(default=None, json_schema_extra=_without_default)


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


_CAPITAL = {"id": "ID", "ir": "IR", "sql": "SQL", "ddl": "DDL", "dlq": "DLQ", "ok": "OK", "eta": "ETA"}


def title(name: str, _: object = None) -> str:
    """The title of a field or parameter in the OpenAPI document: `Last run at` for `last_run_at` and `lastRunAt`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().strip("_").split("_")
    joined = " ".join(_CAPITAL.get(word, word) for word in words)
    return joined[:1].upper() + joined[1:]


class ResponseModel(BaseModel):
    """Base of response models. The docstrings of fields are their descriptions in the OpenAPI document."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        from_attributes=True,
        use_attribute_docstrings=True,
        field_title_generator=title,
    )


class RequestModel(BaseModel):
    """Base of request models. Unknown fields are refused, so that a misspelt one is not ignored. The docstrings of
    fields are their descriptions in the OpenAPI document."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", use_attribute_docstrings=True, field_title_generator=title
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        refuse_booleans(schema)
        return schema
