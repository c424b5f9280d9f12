"""How things look on the wire: camelCase, timestamps with milliseconds and `Z`, and text the database can keep."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainSerializer, StringConstraints, WithJsonSchema, model_validator
from pydantic.alias_generators import to_camel


def timestamp(at: datetime) -> str:
    """`2026-01-15T09:00:00.000Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


Timestamp = Annotated[
    datetime,
    PlainSerializer(timestamp),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Description = Annotated[str, StringConstraints(max_length=4000)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class Shown(BaseModel):
    """A response."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)


class Body(BaseModel):
    """A request's body. Fields that are not documented are refused: a misspelt one must not be lost in silence."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        unstorable = _first_unstorable(value)
        if unstorable is not None:
            raise ValueError(unstorable)
        return value


def _first_unstorable(value: object) -> str | None:
    """What the database could not keep: NUL characters, halves of surrogate pairs, numbers that are not JSON."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += each.keys()
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, float) and not math.isfinite(each):
            return "NaN and Infinity are not JSON"
        elif isinstance(each, str) and ("\x00" in each or any("\ud800" <= char <= "\udfff" for char in each)):
            return "Text with NUL characters or lone surrogates cannot be stored"
    return None
