"""The document itself: metadata, schedule, nodes and error handling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from headrace.ir.base import Doc
from headrace.ir.nodes import Node
from headrace.ir.parameters import Parameter, ParameterName
from headrace.ir.parsing.limits import MAX_NODES
from headrace.ir.schedules.schedule import Schedule


class Metadata(Doc):
    """Who and what: shown to people, never interpreted."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """The name and description for people."""
    owner: str | None = None
    """A person or a team."""
    description: str | None = None
    """A description of the pipeline."""
    tags: tuple[str, ...] = ()
    """Words to find it by."""


class Dlq(Doc):
    """Kept for documents written elsewhere; where rejected rows go is the validate node's `quarantine`."""

    enabled: bool = False
    """Without effect."""


class Retry(Doc):
    """How often a partition is tried again after a transient fault (lost connection, deadlock, ...)."""

    max_attempts: int = Field(default=3, ge=1, le=20)
    """How often in all, the first time included."""
    backoff: Literal["exponential"] = "exponential"
    """Pauses double from 0.5 to 30 seconds."""


class ErrorHandling(Doc):
    """Retries, and how many rejected rows a run may have before it is given up (default 10,000)."""

    dlq: Dlq = Dlq()
    """Without effect; see `quarantine` of the validate node."""
    retry: Retry = Retry()
    """The policy for transient errors."""
    max_error_rows: int = Field(default=10_000, ge=0)
    """A run with more failing rows fails; what was committed before stays."""
    max_error_rate: float | None = Field(default=None, ge=0, le=1)
    """A run fails in which a larger share of the rows, from 0 to 1, does."""


class PipelineIR(Doc):
    """Pipeline IR 1.0."""

    schema_url: str | None = Field(default=None, alias="$schema", exclude=True)
    """The JSON Schema that an editor checks the document by. It is not a part of the pipeline, and not stored."""
    kind: Literal["pipeline"]
    """The kind of document."""
    version: Literal["1.0"]
    """The version of this format."""
    id: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """The author's id of the document; the catalog assigns the pipeline another id."""
    metadata: Metadata
    """Who and what."""
    schedule: Schedule | None = None
    """The schedule; without one, runs are started by hand."""
    parameters: dict[ParameterName, Parameter] = Field(default_factory=dict, max_length=50)
    """The run parameters that sources use as `{{name}}`, by name. One that is used need not be listed."""
    nodes: tuple[Node, ...] = Field(min_length=1, max_length=MAX_NODES)
    """The steps, in any order: what a node reads from, it names."""
    error_handling: ErrorHandling = ErrorHandling()
    """The limits on failed rows that end a run."""

    def node(self, node_id: str) -> Node:
        """The node of that id; KeyError when there is none."""
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise KeyError(node_id)


def without_editor_keys(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document for storage and comparison, without `$schema`, which is for editors only."""
    return {key: value for key, value in document.items() if key != "$schema"}
