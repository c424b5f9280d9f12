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
    """The kind of object."""
    id: ObjectId
    """The id of the object; for a connector document the one in the document."""


class PutAppliedSet(RequestModel):
    """All objects of the set."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"objects": _OBJECTS}]})

    objects: Annotated[list[AppliedObject], Field(max_length=30_000)]
    """All objects of the set; those it had before and that are not listed here are no longer in it."""


class RehearsedRequest(RequestModel):
    """A request to rehearse."""

    method: Literal["POST", "PUT", "DELETE"]
    """The HTTP method."""
    path: Annotated[str, StringConstraints(pattern=r"^(/[A-Za-z0-9_:-]{1,128}){1,3}$")]
    """The path, relative to the base path `/api/v1`, such as `/connectors`."""
    query: dict[
        Annotated[str, StringConstraints(max_length=100)], Annotated[str, StringConstraints(max_length=200)]
    ] = Field(default_factory=dict, max_length=10)
    """The query parameters by name."""
    body: dict[str, Any] | None = None
    """The JSON body; null for a request without one."""
    known_as: Annotated[str, StringConstraints(pattern=r"^new:[0-9]{1,6}$")] | None = None
    """A placeholder such as `new:1`, by which later requests refer to the object that this one creates."""


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
    """The requests, in the order in which they would be sent; at most 1,000."""


class Refused(ResponseModel):
    """The response with which a request would be refused."""

    index: int
    """The position of the request in the list, from 0."""
    status: int
    """The HTTP status of the response."""
    message: str
    """What is wrong, for people."""
    details: list[Detail]
    """Every problem of the request."""


class Unknown(ResponseModel):
    """A request whose result is unknown. If time ran out, this is the last entry, and applies to all requests after
    it as well."""

    index: int
    """The position of the request in the list, from 0."""
    reason: str
    """Why its result is unknown, for people."""


class Rehearsal(ResponseModel):
    """The requests that would be refused; requests that depend on a refused one are not tried."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"refused": [], "unknown": []}]})

    refused: list[Refused]
    """The requests that would be refused, by index."""
    unknown: list[Unknown]
    """The requests that could not be tried to the end, by index."""


class AppliedSetItem(ResponseModel):
    """A set and its objects; deleted objects may still be listed."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "default", "objects": _OBJECTS, "updatedAt": "2026-01-15T09:00:00.000Z"}]
        }
    )

    name: str
    """The name of the set, as in the request."""
    objects: list[AppliedObject]
    """The objects that came from the files; empty for a set that was never written."""
    updated_at: Timestamp | None
    """When the set was last written; null if never."""
