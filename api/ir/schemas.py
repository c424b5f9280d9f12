"""The shapes of an IR, its versions and what is said of it, on the wire."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from api.errors import Detail
from api.wire import Body, Shown, Timestamp

VersionNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]


class IrVersionItem(Shown):
    """One saved version of a pipeline's IR, without the IR."""

    version: int
    authored_by: str | None
    comment: str | None
    created_at: Timestamp


class IrVersion(Shown):
    """One saved version of a pipeline's IR; `live` says whether schedules and runs use it."""

    version: int
    ir: dict[str, Any]
    authored_by: str | None
    comment: str | None
    created_at: Timestamp
    live: bool


def _or_bare(schema: dict[str, Any]) -> None:
    """One object rather than a choice of two: generated clients stumble over the choice."""
    del schema["required"]
    schema["additionalProperties"] = True


class SaveIr(Body):
    """A new version: `{ir, comment}`, or the IR itself."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", json_schema_extra=_or_bare)

    ir: dict[str, Any]
    comment: Annotated[str, StringConstraints(max_length=2000)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        return {"ir": value} if isinstance(value, dict) and "ir" not in value else value


class Publish(Body):
    """Which version is to be live."""

    version: VersionNumber


class NodeChange(Shown):
    """What happened to a node, or with `node` null to the rest of the document."""

    node: str | None
    change: str
    details: list[str]


class IrDifference(Shown):
    """Two versions compared: an RFC 6902 patch that leads from one to the other, and the same for people."""

    from_version: int = Field(alias="from")
    to_version: int = Field(alias="to")
    patch: list[dict[str, Any]]
    summary: list[NodeChange]


class NodeField(Shown):
    """A column behind a node."""

    name: str
    data_type: str
    precision: int | None = None
    scale: int | None = None


class NodeColumns(Shown):
    """The columns behind a node."""

    schema_: list[NodeField] = Field(alias="schema")


class Validation(Shown):
    """What can be said of an IR before anything runs. `nodes` has those whose columns are known."""

    valid: bool
    issues: list[Detail]
    nodes: dict[str, NodeColumns]
