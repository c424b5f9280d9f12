"""The branch node: each row takes the first route whose condition is true."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from headrace.ir.base import Doc, NodeId, SqlText
from headrace.ir.nodes.base import SingleInput
from headrace.ir.problems import fault

DROP = "drop"
"""As `default`: rows that take no route are skipped and counted."""


class Route(Doc):
    """A route for rows for which `when` is true; null is not true."""

    name: NodeId
    """The name; nodes read the route as `<branch>.<name>`."""
    when: SqlText
    """A SQL condition over the row."""


class BranchNode(SingleInput):
    """Sends each row to the first route whose condition is true. Other nodes read `<id>.<route>`. Rows without a true
    condition take the route `default`, which may be one of `routes` or another name. Rows of a route that no node
    reads are skipped and counted."""

    kind: Literal["branch"]
    routes: tuple[Route, ...] = Field(min_length=1, max_length=100)
    """The routes, in the order in which conditions are checked."""
    default: NodeId = DROP
    """The route of rows without a true condition; `drop` skips and counts them."""

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
            raise fault("reserved_route", f"A route cannot be named '{DROP}'", "it is a value of 'default'")
        return routes
