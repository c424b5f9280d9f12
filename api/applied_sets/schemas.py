"""Request and response models of applied sets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from headrace.api.errors import Detail
from headrace.api.wire import RequestModel, ResponseModel, Timestamp

SetName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,100}$")]

ObjectId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,128}$")]

_OBJECTS: Any = [
    {"kind": "connector", "id": "conn_019ac0ffee"},
    {"kind": "pipeline", "id": "pipe_019ac0ffee"},
]


class AppliedObject(RequestModel):
    """One object that came from a file."""

    kind: Literal["yaml-connector", "connector", "schema", "pipeline", "replication"]
    id: ObjectId


class PutAppliedSet(RequestModel):
    """All objects of the set."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"objects": _OBJECTS}]})

    objects: Annotated[list[AppliedObject], Field(max_length=30_000)]


class RehearsedRequest(RequestModel):
    """A request to rehearse; `path` is relative to the base path. Later requests refer to the object it creates by
    `knownAs`, a placeholder id such as `new:1`."""

    method: Literal["POST", "PUT", "DELETE"]
    path: Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9_:-]{1,128}){1,3}$")]
    query: dict[
        Annotated[str, StringConstraints(max_length=100)], Annotated[str, StringConstraints(max_length=200)]
    ] = Field(default_factory=dict, max_length=10)
    body: dict[str, Any] | None = None
    known_as: Annotated[str, StringConstraints(pattern=r"^new:[0-9]{1,6}$")] | None = None


MAX_REQUESTS = 1_000


class Rehearse(RequestModel):
    """Requests of `headrace apply`, in order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "requests": [
                        {
                            "method": "POST",
                            "path": "/connectors",
                            "body": {"name": "files", "type": "local_fs"},
                            "knownAs": "new:1",
                        }
                    ]
                }
            ]
        }
    )

    requests: Annotated[list[RehearsedRequest], Field(max_length=MAX_REQUESTS)]


class Refused(ResponseModel):
    """The response with which the request at `index`, from 0, would be refused."""

    index: int
    status: int
    message: str
    details: list[Detail]


class Unknown(ResponseModel):
    """A request whose result is unknown. If time ran out, this is the last entry, and applies to all requests after
    it as well."""

    index: int
    reason: str


class Rehearsal(ResponseModel):
    """The requests that would be refused; requests that depend on a refused one are not tried."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"refused": [], "unknown": []}]})

    refused: list[Refused]
    unknown: list[Unknown]


class AppliedSetItem(ResponseModel):
    """A set and its objects; deleted objects may still be listed. `updatedAt` is null for a set that was never written,
    which is empty."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "default", "objects": _OBJECTS, "updatedAt": "2026-01-15T09:00:00.000Z"}]
        }
    )

    name: str
    objects: list[AppliedObject]
    updated_at: Timestamp | None
