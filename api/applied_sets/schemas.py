"""The shapes of an applied set on the wire."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from api.wire import Body, Shown, Timestamp

SetName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]

ObjectId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,128}$")]

_OBJECTS: Any = [
    {"kind": "connector", "id": "conn_019ac0ffee"},
    {"kind": "pipeline", "id": "pipe_019ac0ffee"},
]


class AppliedObject(Body):
    """One object that came from a file."""

    kind: Literal["connector", "schema", "pipeline"]
    id: ObjectId


class PutAppliedSet(Body):
    """All objects the set is to own from now on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"objects": _OBJECTS}]})

    objects: Annotated[list[AppliedObject], Field(max_length=30_000)]


class AppliedSetItem(Shown):
    """A set and what it owns; objects that were deleted meanwhile may still be listed. `updatedAt` is null for a set
    that was never written, which owns nothing."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "default", "objects": _OBJECTS, "updatedAt": "2026-01-15T09:00:00.000Z"}]
        }
    )

    name: str
    objects: list[AppliedObject]
    updated_at: Timestamp | None
