"""The compilers of dataset rules, one line each in COMPILERS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from headrace.flows.compile.dataset_rules.base import Assertion, NodeAudit
from headrace.flows.compile.dataset_rules.columns import COUNTS, freshness, null_rate, statistic, uniqueness
from headrace.flows.compile.dataset_rules.rows import row_count, row_count_anomaly
from headrace.flows.compile.scope import PlanError, Scope
from headrace.flows.compile.step import Step
from headrace.ir import Problem
from headrace.ir.dataset_rules import (
    DatasetRule,
    Freshness,
    NullRate,
    RowCount,
    RowCountAnomaly,
    Statistic,
    Uniqueness,
)
from headrace.ir.nodes import ValidateNode

COMPILERS: Mapping[type[DatasetRule], Callable[[Any, Scope, str], Assertion]] = {
    RowCount: row_count,
    NullRate: null_rate,
    Uniqueness: uniqueness,
    Freshness: freshness,
    Statistic: statistic,
    RowCountAnomaly: row_count_anomaly,
}
"""By the rule's class. Each raises PlanError when it does not fit the columns."""


def compile_dataset_rules(
    node: ValidateNode, scope: Scope, problems: list[Problem], look: Step | None = None
) -> NodeAudit | None:
    """The dataset rules on the output rows of the node; None where it has none. `look` reads columns whose typed values
    are needed before they are measured. Adds to `problems`."""
    seen = scope if look is None else replace(scope, schema=look.output_schema(scope.schema))
    assertions: list[Assertion] = []
    for place, rule in node.dataset_level:
        try:
            valued = isinstance(rule, Freshness) or (isinstance(rule, Statistic) and rule.fn not in COUNTS)
            found = COMPILERS[type(rule)](rule, seen if valued else scope, f"datasetLevel.{place}")
            assertions.append(replace(found, path=f"{scope.path}.{found.path}"))
        except PlanError as error:
            problems.append(error.problem)
    looks = () if look is None else (look,)
    return NodeAudit(node.id, tuple(assertions), looks) if assertions else None


__all__ = ["COMPILERS", "compile_dataset_rules"]
