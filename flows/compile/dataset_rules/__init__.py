"""What each dataset rule measures, and when it holds. One line per rule in COMPILERS."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from flows.compile.dataset_rules.base import Assertion, NodeAudit
from flows.compile.dataset_rules.columns import freshness, null_rate, statistic, uniqueness
from flows.compile.dataset_rules.rows import row_count, row_count_anomaly
from flows.compile.scope import PlanError, Scope
from ir import Problem
from ir.dataset_rules import (
    DatasetRule,
    Freshness,
    NullRate,
    RowCount,
    RowCountAnomaly,
    Statistic,
    Uniqueness,
)
from ir.nodes import ValidateNode

COMPILERS: Mapping[type[DatasetRule], Callable[[Any, Scope, str], Assertion]] = {
    RowCount: row_count,
    NullRate: null_rate,
    Uniqueness: uniqueness,
    Freshness: freshness,
    Statistic: statistic,
    RowCountAnomaly: row_count_anomaly,
}
"""By the rule's class; each raises PlanError for what does not fit the columns."""


def compile_dataset_rules(node: ValidateNode, scope: Scope, problems: list[Problem]) -> NodeAudit | None:
    """The rules on the rows that leave the node; None where it has none."""
    assertions: list[Assertion] = []
    for place, rule in node.dataset_level:
        try:
            found = COMPILERS[type(rule)](rule, scope, f"datasetLevel.{place}")
            assertions.append(replace(found, path=f"{scope.path}.{found.path}"))
        except PlanError as error:
            problems.append(error.problem)
    return NodeAudit(node.id, tuple(assertions)) if assertions else None


__all__ = ["COMPILERS", "compile_dataset_rules"]
