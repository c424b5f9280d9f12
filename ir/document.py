"""The document itself: metadata, schedule, nodes and error handling."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from ir.base import Doc
from ir.nodes import Node
from ir.schedule import Schedule


class Metadata(Doc):
    """Who and what: shown to people, never interpreted."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    owner: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()


class Dlq(Doc):
    """Kept for documents written elsewhere; where rejected rows go is the validate node's `quarantine`."""

    enabled: bool = False


class Retry(Doc):
    """How often a partition is tried again after a transient fault (lost connection, deadlock, ...)."""

    max_attempts: int = Field(default=3, ge=1, le=20)
    backoff: Literal["exponential"] = "exponential"


class ErrorHandling(Doc):
    """Retries, and how many rejected rows a run may have before it is given up (default 10,000)."""

    dlq: Dlq = Dlq()
    retry: Retry = Retry()
    max_error_rows: int = Field(default=10_000, ge=0)
    max_error_rate: float | None = Field(default=None, ge=0, le=1)


class PipelineIR(Doc):
    """Pipeline IR 1.0."""

    schema_url: str | None = Field(default=None, alias="$schema")
    kind: Literal["pipeline"]
    version: Literal["1.0"]
    id: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    metadata: Metadata
    schedule: Schedule | None = None
    nodes: tuple[Node, ...] = Field(min_length=1, max_length=10_000)
    error_handling: ErrorHandling = ErrorHandling()

    def node(self, node_id: str) -> Node:
        """The node of that id; KeyError when there is none."""
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise KeyError(node_id)
