"""Request and response models of IR versions, differences and validation."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel

from headrace.api.errors import Detail
from headrace.api.wire import ColumnType, CreatedAt, Precision, RequestModel, ResponseModel, Scale
from headrace.ir.diff import ChangeKind

VersionNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]

SavedVersion = Annotated[int, Field(description="The number of the version: from 1, one more for each new one.")]
LiveVersion = Annotated[
    int | None, Field(description="The version of the IR; null for a pipeline of legacy nodes and edges.")
]
AuthoredBy = Annotated[str | None, Field(description="The name of the API key that saved it; null if it is not known.")]
Comment = Annotated[str | None, Field(description="Why it was changed, by its author; null without a comment.")]


class IrVersionItem(ResponseModel):
    """One saved version of a pipeline's IR, without the IR."""

    version: SavedVersion
    authored_by: AuthoredBy
    comment: Comment
    created_at: CreatedAt


class IrVersion(ResponseModel):
    """One saved version of a pipeline's IR."""

    version: SavedVersion
    ir: dict[str, Any]
    """The document, as it was saved; its JSON Schema is at `/api/v1/ir/schema`."""
    authored_by: AuthoredBy
    comment: Comment
    created_at: CreatedAt
    live: bool
    """Whether schedules and runs use this version."""
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
    """The document; its JSON Schema is at `/api/v1/ir/schema`."""
    comment: Annotated[str, StringConstraints(max_length=2000)] | None = None
    """Why it is changed; at most 2,000 characters."""

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
    """A saved version."""


class NodeChange(ResponseModel):
    """The change of a node, or of the rest of the document."""

    node: str | None
    """The id of the node; null for the rest of the document, such as its schedule, and for the order of nodes."""
    change: ChangeKind
    """`moved`: the nodes are listed in another order."""
    details: list[str]
    """The differences in words, such as `schema: public.ds_old → public.ds_orders`."""


class IrDifference(ResponseModel):
    """The difference of two versions: an RFC 6902 patch, and a human-readable summary."""

    from_version: int = Field(alias="from")
    """The older version, as requested."""
    to_version: int = Field(alias="to")
    """The newer version, as requested."""
    patch: list[dict[str, Any]]
    """An RFC 6902 patch from the older to the newer one; empty if they are equal."""
    summary: list[NodeChange]
    """What changed, per node."""


class IrCheck(ResponseModel):
    """The result of checking an IR as if it were saved and made live."""

    issues: list[Detail]
    """Why it would be refused, or why its runs would fail; empty if nothing is wrong."""
    losses: list[Detail]
    """Changes that could lose or duplicate rows, and need `confirm=true`."""


class NodeField(ResponseModel):
    """A column of a node's output."""

    name: str
    """The column's name."""
    data_type: ColumnType
    precision: Precision = None
    scale: Scale = None


class NodeColumns(ResponseModel):
    """The columns of a node's output."""

    schema_: list[NodeField] = Field(alias="schema")
    """The columns, in order."""


class Validation(ResponseModel):
    """The result of validating an IR."""

    valid: bool
    """Whether there are no `issues`."""
    issues: list[Detail]
    """Every problem of the document."""
    warnings: list[Detail] = Field(
        default_factory=list,
        exclude_if=lambda found: not found,  # the documented shape has no such field
    )
    """What would fail a run if the sources have not changed since they were last inspected; omitted without any."""
    nodes: dict[str, NodeColumns]
    """The columns after each node, by its id; only nodes whose columns are known before a run."""
