"""The route of a branch that each row takes, as a column that exists until rows are split."""

from __future__ import annotations

import polars as pl

from headrace.flows.compile.scope import PlanError, Scope, parsed_expression
from headrace.flows.compile.step import Step
from headrace.ir import Problem
from headrace.ir.nodes import DROP, BranchNode

ROUTE = "__route"
"""The column: the position of the route among `BranchNode.names`; null where the row is dropped."""


def compile_branch(node: BranchNode, scope: Scope, problems: list[Problem]) -> tuple[Step, ...]:
    """The step that adds ROUTE: the first route whose condition is true. Adds to `problems`."""
    conditions: list[pl.Expr | None] = []
    scope.learn(route.when for route in node.routes)
    for position, route in enumerate(node.routes):
        try:
            condition = scope.condition(route.when, f"routes[{position}].when")
            conditions.append(condition.fill_null(value=False))
        except PlanError as error:
            problems.append(error.problem)
            conditions.append(None)
    taken = pl.lit(None if node.default == DROP else node.names.index(node.default), pl.Int16)
    for position, when in reversed([*enumerate(conditions)]):
        if when is not None:
            taken = pl.when(when).then(pl.lit(position, pl.Int16)).otherwise(taken)
    label = ", ".join(f"{route.name} when {route.when}" for route in node.routes)
    step = Step(
        node.id, scope.path, f"{label}, else {node.default}", columns=(taken.alias(ROUTE),), types={ROUTE: pl.Int16()}
    )
    return (step,)


def decided_by(node: BranchNode, route: str) -> tuple[str, ...]:
    """The columns that decide whether a row takes the route: those of its condition and of all conditions before it."""
    names = [each.name for each in node.routes]
    asked = node.routes[: names.index(route) + 1] if route in names and route != node.default else node.routes
    return tuple(dict.fromkeys(name for each in asked for name in parsed_expression(each.when).columns))


def taking(frame: pl.DataFrame, route: int | None) -> pl.DataFrame:
    """The rows of a route, without ROUTE; all rows for None."""
    if route is None:
        return frame
    return frame.filter(pl.col(ROUTE) == route).drop(ROUTE)
