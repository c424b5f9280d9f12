"""The logical plan as data: the compiled nodes of a document, and the problems found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from headrace.flows.compile.dataset_rules.base import NodeAudit
from headrace.flows.compile.step import Step
from headrace.ir import Problem
from headrace.ir.nodes import AnyNode
from headrace.ir.schema import Schema


@dataclass(frozen=True, slots=True)
class LogicalNode:
    """A node with its steps and its output columns. `written`, `left_out` and `added` are for targets; `private` are
    the output columns whose values must not be shown."""

    node: AnyNode
    steps: tuple[Step, ...]
    schema: pl.Schema
    written: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    added: Schema = ()
    private: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    """Remarks for people."""
    audit: NodeAudit | None = None
    """The measurements that the dataset rules of a validate node need of its output rows."""
    cells: Mapping[str, str] = field(default_factory=dict)
    """The output columns that hold cells of a source column → that source column (`compile.cells`)."""


@dataclass(frozen=True, slots=True)
class LogicalPlan:
    """The compiled nodes by id, upstream before downstream, and about the first MAX_PROBLEMS problems found. A plan
    with problems cannot run."""

    nodes: Mapping[str, LogicalNode]
    problems: tuple[Problem, ...]
