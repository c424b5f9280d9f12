"""From a document to typed nodes: what every node does to rows, and which columns it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter

import polars as pl

from connectors.base import ROW
from connectors.types import polars_dtype
from flows.compile.conform import TargetColumn, conform
from flows.compile.ops import COMPILERS
from flows.compile.rules import compile_rule
from flows.compile.scope import PlanError, Scope
from flows.compile.step import Check, Step
from ir import PipelineIR, Problem
from ir.nodes import AnyNode, SourceNode, TargetNode, TransformNode, ValidateNode
from ir.schema import Schema


@dataclass(frozen=True, slots=True)
class LogicalNode:
    """A node with its steps and the columns behind it. `written` and `left_out` belong to targets."""

    node: AnyNode
    steps: tuple[Step, ...]
    schema: pl.Schema
    written: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogicalPlan:
    """The compiled nodes by id, upstream before downstream, and every problem found. With problems it does not run."""

    nodes: Mapping[str, LogicalNode]
    problems: tuple[Problem, ...]


def logical_plan(
    ir: PipelineIR, sources: Mapping[str, Schema], targets: Mapping[str, Sequence[TargetColumn]]
) -> LogicalPlan:
    """Types every node whose inputs' columns are known. A source without a schema in `sources` leaves what depends on
    it unchecked; a target without columns in `targets` is not conformed."""
    index = {node.id: position for position, node in enumerate(ir.nodes)}
    order = TopologicalSorter({node.id: set(node.inputs) for node in ir.nodes}).static_order()
    compiled: dict[str, LogicalNode] = {}
    problems: list[Problem] = []
    for node_id in order:
        node = ir.nodes[index[node_id]]
        path = f"nodes[{index[node_id]}]"
        if isinstance(node, SourceNode):
            if node.id in sources:
                compiled[node.id] = LogicalNode(node, (), _source_schema(sources[node.id]))
            continue
        if node.inputs[0] not in compiled:
            continue
        schema = compiled[node.inputs[0]].schema
        match node:
            case TransformNode():
                compiled[node.id] = _transform(node, path, schema, problems)
            case ValidateNode():
                compiled[node.id] = _validate(node, path, schema, problems)
            case TargetNode() if node.id in targets:
                try:
                    result = conform(node, Scope(node.id, path, schema), targets[node.id])
                except PlanError as error:
                    problems.append(error.problem)
                    continue
                last = _after(result.step, schema)
                compiled[node.id] = LogicalNode(node, (result.step,), last, result.columns, result.left_out)
    return LogicalPlan(compiled, tuple(problems))


def _source_schema(schema: Schema) -> pl.Schema:
    return pl.Schema({field.name: polars_dtype(field) for field in schema} | {ROW: pl.Int64})


def _transform(node: TransformNode, path: str, schema: pl.Schema, problems: list[Problem]) -> LogicalNode:
    steps: list[Step] = []
    for position, op in enumerate(node.ops):
        scope = Scope(node.id, f"{path}.ops[{position}]", schema)
        try:
            compiled = COMPILERS[type(op)](op, scope)
            for step in compiled:
                with scope.checked(""):
                    schema = _after(step, schema)
        except PlanError as error:
            problems.append(error.problem)
            # Later ops are checked too; the column this one would have made is taken as untyped, so that one
            # mistake is told once.
            made = getattr(op, "field", None) or getattr(op, "to", None)
            if isinstance(made, str) and made not in schema:
                schema = pl.Schema({**schema, made: pl.Null()})
            continue
        steps.extend(compiled)
    return LogicalNode(node, tuple(steps), schema)


def _validate(node: ValidateNode, path: str, schema: pl.Schema, problems: list[Problem]) -> LogicalNode:
    checks: list[Check] = []
    for position, rule in enumerate(node.row_level):
        try:
            checks.append(compile_rule(rule, Scope(node.id, f"{path}.rowLevel[{position}]", schema)))
        except PlanError as error:
            problems.append(error.problem)
    label = "check " + ", ".join(f"{rule.field} {rule.rule} ({rule.on_fail})" for rule in node.row_level)
    return LogicalNode(node, (Step(node.id, path, label, checks=tuple(checks)),), schema)


def _after(step: Step, schema: pl.Schema) -> pl.Schema:
    """The columns behind a step, found by running it on no rows."""
    return step.apply(pl.LazyFrame(schema=schema)).collect().schema
