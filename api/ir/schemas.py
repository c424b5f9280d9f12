"""Request and response models of IR versions, differences and validation."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from headrace.api.errors import Detail
from headrace.api.wire import RequestModel, ResponseModel, Timestamp

VersionNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]


class IrVersionItem(ResponseModel):
    """One saved version of a pipeline's IR, without the IR."""

    version: int
    authored_by: str | None
    comment: str | None
    created_at: Timestamp


class IrVersion(ResponseModel):
    """One saved version of a pipeline's IR; `live`: whether schedules and runs use it."""

    version: int
    ir: dict[str, Any]
    authored_by: str | None
    comment: str | None
    created_at: Timestamp
    live: bool
    warnings: list[Detail] = Field(
        default_factory=list,
        exclude_if=lambda found: not found,  # the documented shape has no such field
        description="Only when it is saved: what would fail a run if the sources are as they were last found",
    )


def _allow_bare_ir(schema: dict[str, Any]) -> None:
    """Declares one object with optional fields instead of a union, which generated clients handle badly."""
    del schema["required"]
    schema["additionalProperties"] = True


class SaveIr(RequestModel):
    """A new version: `{ir, comment}`, or the IR itself, optionally with `comment` among its fields."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", json_schema_extra=_allow_bare_ir)

    ir: dict[str, Any]
    comment: Annotated[str, StringConstraints(max_length=2000)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "ir" in value:
            return value
        bare = {name: each for name, each in value.items() if name != "comment"}
        return {"ir": bare} | ({"comment": value["comment"]} if "comment" in value else {})


class Publish(RequestModel):
    """The version to make live."""

    version: VersionNumber


class NodeChange(ResponseModel):
    """The change of a node, or with `node` null of the rest of the document."""

    node: str | None
    change: str
    details: list[str]


class IrDifference(ResponseModel):
    """The difference of two versions: an RFC 6902 patch, and a human-readable summary."""

    from_version: int = Field(alias="from")
    to_version: int = Field(alias="to")
    patch: list[dict[str, Any]]
    summary: list[NodeChange]


class IrCheck(ResponseModel):
    """The result of checking an IR as if it were saved and made live. `issues` are reasons to refuse it; `losses` are
    changes that could lose or duplicate rows and need confirmation."""

    issues: list[Detail]
    losses: list[Detail]


class NodeField(ResponseModel):
    """A column of a node's output."""

    name: str
    data_type: str
    precision: int | None = None
    scale: int | None = None


class NodeColumns(ResponseModel):
    """The columns of a node's output."""

    schema_: list[NodeField] = Field(alias="schema")


class Validation(ResponseModel):
    """The result of validating an IR. `nodes` has the nodes whose columns are known before a run; `warnings` are
    problems that would fail a run if the sources have not changed since they were last inspected."""

    valid: bool
    issues: list[Detail]
    warnings: list[Detail] = Field(
        default_factory=list,
        exclude_if=lambda found: not found,  # the documented shape has no such field
    )
    nodes: dict[str, NodeColumns]
