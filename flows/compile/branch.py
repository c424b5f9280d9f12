"""Which route of a branch a row takes, as a column that is there until the rows part."""

from __future__ import annotations

import polars as pl

from flows.compile.scope import PlanError, Scope
from flows.compile.step import Step
from ir import Problem
from ir.nodes import DROP, BranchNode

ROUTE = "__route"
"""The column: the position of the route among `BranchNode.names`; null where the row is dropped."""


def compile_branch(node: BranchNode, scope: Scope, problems: list[Problem]) -> tuple[Step, ...]:
    """The step that says each row's route; the first whose condition holds. Adds to `problems`."""
    conditions: list[pl.Expr | None] = []
    scope.learn(route.when for route in node.routes)
    for position, route in enumerate(node.routes):
        try:
            conditions.append(scope.condition(route.when, f"routes[{position}].when"))
        except PlanError as error:
            problems.append(error.problem)
            conditions.append(None)
    taken = pl.lit(None if node.default == DROP else node.names.index(node.default), pl.Int16)
    for position, when in reversed([*enumerate(conditions)]):
        if when is not None:
            taken = pl.when(when).then(pl.lit(position, pl.Int16)).otherwise(taken)
    label = ", ".join(f"{route.name} when {route.when}" for route in node.routes)
    step = Step(node.id, scope.path, f"{label}, else {node.default}", columns=(taken.alias(ROUTE),))
    return (step,)


def decided_by(node: BranchNode, route: str) -> tuple[str, ...]:
    """The columns that say whether a row takes the route: those of its condition, and of the conditions before it."""
    names = [each.name for each in node.routes]
    asked = node.routes[: names.index(route) + 1] if route in names and route != node.default else node.routes
    return tuple(dict.fromkeys(name for each in asked for name in pl.sql_expr(each.when).meta.root_names()))


def taking(frame: pl.DataFrame, route: int | None) -> pl.DataFrame:
    """The rows that go on through an outlet: those of the route, or all."""
    if route is None:
        return frame
    return frame.filter(pl.col(ROUTE) == route).drop(ROUTE)
