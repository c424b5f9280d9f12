"""The branch node: each row goes the way of the first route whose condition it meets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from ir.base import Doc, NodeId, SqlText
from ir.nodes.base import SingleInput
from ir.problems import fault

DROP = "drop"
"""As `default`: rows that no route takes are skipped, and counted."""


class Route(Doc):
    """The rows for which `when` is true; null counts as not true."""

    name: NodeId
    """Nodes read it as `<branch>.<name>`."""
    when: SqlText
    """A SQL condition over the row."""


class BranchNode(SingleInput):
    """Nodes behind it read `<id>.<route>`. A row that no condition holds for takes the route `default`, which may be
    one of `routes` or a further one. Rows of a route that nothing reads are skipped, and counted."""

    kind: Literal["branch"]
    routes: tuple[Route, ...] = Field(min_length=1, max_length=100)
    """Looked at in this order."""
    default: NodeId = DROP
    """Where rows go that no route takes; `drop` skips and counts them."""

    @property
    def names(self) -> tuple[str, ...]:
        """All routes a row can take."""
        named = tuple(route.name for route in self.routes)
        return named if self.default in (DROP, *named) else (*named, self.default)

    @field_validator("routes")
    @classmethod
    def _distinct(cls, routes: tuple[Route, ...]) -> tuple[Route, ...]:
        names = [route.name for route in routes]
        if len(set(names)) < len(names):
            raise fault("duplicate_route", "'routes' has a name twice", "give each route its own name")
        if DROP in names:
            raise fault("reserved_route", f"A route cannot be named '{DROP}'", "it is what 'default' says of rows")
        return routes
