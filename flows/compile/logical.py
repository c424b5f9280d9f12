"""From a document to typed nodes: what every node does to rows, and which columns it gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from typing import Any

import polars as pl

from connectors.base import ROW
from connectors.types import polars_dtype
from flows.compile.branch import compile_branch
from flows.compile.broadcast import ReferenceTable
from flows.compile.change_events import change_events
from flows.compile.conform import conform
from flows.compile.contract import TargetColumn
from flows.compile.dataset_rules import compile_dataset_rules
from flows.compile.dataset_rules.base import NodeAudit
from flows.compile.enrich import compile_enrich
from flows.compile.join import compile_join
from flows.compile.ops import COMPILERS
from flows.compile.private import conceal
from flows.compile.rules import compile_rule
from flows.compile.rules.unique import mark_repeated
from flows.compile.scope import PlanError, Scope, TooWide, Undecided
from flows.compile.step import Check, Step
from flows.compile.types import Shape, schema_of
from flows.compile.upsert_key import key_problem, only_key_problem
from flows.compile.watermark import watermark_problem
from flows.enrich import Outside
from ir import PipelineIR, Problem
from ir.limits import GATHERED, NODE, RESHAPED
from ir.nodes import (
    AnyNode,
    ArchiveNode,
    BranchNode,
    EnrichNode,
    JoinNode,
    SourceNode,
    TargetNode,
    TransformNode,
    ValidateNode,
    producer,
)
from ir.ops import Expression, Filter
from ir.problems import MAX_PROBLEMS
from ir.rules import Holds, Unique
from ir.schema import Schema


@dataclass(frozen=True, slots=True)
class LogicalNode:
    """A node with its steps and the columns behind it. `written`, `left_out` and `added` belong to targets; `private`
    are the columns behind it whose values must not be shown."""

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
    """What the dataset rules of a validate node measure of the rows behind it."""


@dataclass(frozen=True, slots=True)
class LogicalPlan:
    """The compiled nodes by id, upstream before downstream, and the problems found: about the first MAX_PROBLEMS. With
    problems it does not run."""

    nodes: Mapping[str, LogicalNode]
    problems: tuple[Problem, ...]


def logical_plan(
    ir: PipelineIR,
    sources: Mapping[str, Schema],
    targets: Mapping[str, Sequence[TargetColumn]],
    *,
    secrets: Mapping[str, Any] | None = None,
    tables: Mapping[str, ReferenceTable] | None = None,
    outside: Outside | None = None,
) -> LogicalPlan:
    """Types every node whose inputs' columns are known. A source without a schema in `sources` leaves what depends on
    it unchecked; a target without columns in `targets` is not conformed. `secrets` are the credentials that ops may
    name; without them the plan can be looked at, but not run. `tables` are those that rows may be looked up in, by
    qualified name; without them lookups, and what stands behind them, are not checked. `outside` is what providers are
    asked by; without it enrich nodes give null."""
    index = {node.id: position for position, node in enumerate(ir.nodes)}
    order = TopologicalSorter({node.id: [*map(producer, node.inputs)] for node in ir.nodes}).static_order()
    compiled: dict[str, LogicalNode] = {}
    problems: list[Problem] = []
    counted = Counter[str]()
    shapes: dict[str, Shape] = {}
    for node_id in order:
        if len(problems) >= MAX_PROBLEMS:
            break
        node = ir.nodes[index[node_id]]
        path = f"nodes[{index[node_id]}]"
        if isinstance(node, SourceNode | ArchiveNode):
            if node.id in sources:
                compiled[node.id] = LogicalNode(node, (), _source_schema(sources[node.id]))
            continue
        before = [compiled[reference].schema for reference in map(producer, node.inputs) if reference in compiled]
        if len(before) < len(node.inputs):
            continue
        scopes = [Scope(node.id, path, schema, tables, secrets) for schema in before]
        try:
            for scope in scopes:
                scope.within(counted, GATHERED if isinstance(node, JoinNode) else NODE)
            match node:
                case TransformNode():
                    compiled[node.id] = _transform(node, scopes[0], shapes, problems, counted)
                case ValidateNode():
                    compiled[node.id] = _validate(node, scopes[0], problems, counted)
                case BranchNode():
                    compiled[node.id] = LogicalNode(node, compile_branch(node, scopes[0], problems), before[0])
                case EnrichNode():
                    compiled[node.id] = _enrich(node, scopes[0], outside)
                case JoinNode():
                    step = compile_join(node, *scopes)
                    compiled[node.id] = LogicalNode(node, (step,), step.schema_behind(*before))
                case TargetNode():
                    target = _target(node, scopes[0], targets.get(node.id))
                    compiled |= {node.id: target} if target is not None else {}
        except Undecided:
            continue
        except PlanError as error:
            problems.append(error.problem)
            if isinstance(error, TooWide):
                break
    return LogicalPlan(conceal(compiled), tuple(problems))


def _source_schema(schema: Schema) -> pl.Schema:
    return pl.Schema({field.name: polars_dtype(field) for field in schema} | {ROW: pl.Int64})


def _transform(
    node: TransformNode, before: Scope, shapes: dict[str, Shape], problems: list[Problem], counted: Counter[str]
) -> LogicalNode:
    """The node's steps; raises Undecided when the columns behind one of its ops cannot be known yet, TooWide.
    Adds to `shapes`, those behind nodes by id."""
    shape = shapes.get(producer(node.input)) or Shape(before.schema)
    steps: list[Step] = []
    before.learn(op.expression for op in node.ops if isinstance(op, Expression | Filter))
    for position, op in enumerate(node.ops):
        if len(problems) >= MAX_PROBLEMS:
            break
        scope = replace(before, path=f"{before.path}.ops[{position}]", schema=shape.columns)
        try:
            compiled = COMPILERS[type(op)](op, scope)
            for step in compiled:
                work = GATHERED if step.gather is not None else RESHAPED if step.reshape is not None else 1
                replace(scope, schema=shape.columns).within(counted, work)
                with scope.checked(""):
                    shape = step.shape_behind(shape)
        except TooWide:
            raise
        except PlanError as error:
            problems.append(error.problem)
            # Later ops are checked too; the columns this one would have made are taken as untyped, so that one
            # mistake is told once.
            shape = shape.changed({name: pl.Null() for name in op.makes if name not in shape.columns})
            continue
        steps.extend(compiled)
    shapes[node.id] = shape
    return LogicalNode(node, tuple(steps), schema_of(shape.columns))


def _enrich(node: EnrichNode, before: Scope, outside: Outside | None) -> LogicalNode:
    """The node; raises PlanError where it has a fault."""
    steps, silence = compile_enrich(node, before, outside)
    schema = before.schema
    for step in steps:
        schema = step.schema_behind(schema)
    return LogicalNode(node, steps, schema_of(schema), notes=(silence,) if silence is not None else ())


def _target(node: TargetNode, scope: Scope, table: Sequence[TargetColumn] | None) -> LogicalNode | None:
    """The node, or None where its table is not known. Raises PlanError."""
    if fault := watermark_problem(node, scope.path, scope.schema, table):
        raise PlanError(fault)
    steps: list[Step] = []
    if (events := change_events(node, scope, table)) is not None:
        steps.append(events)
        scope = replace(scope, schema=events.schema_behind(scope.schema))
    known = events is not None or node.load_mode != "cdc_mirror"
    if known and (fault := key_problem(node, scope.path, scope.schema, table)):
        raise PlanError(fault)
    if table is None:
        return None
    result = conform(node, scope, table)
    if fault := only_key_problem(node, scope.path, result.columns):
        raise PlanError(fault)
    steps.append(result.step)
    last = result.step.schema_behind(scope.schema)
    return LogicalNode(node, tuple(steps), last, result.columns, result.left_out, result.added)


def _validate(node: ValidateNode, before: Scope, problems: list[Problem], counted: Counter[str]) -> LogicalNode:
    places = [(rule, f"{before.path}.rowLevel[{position}]") for position, rule in enumerate(node.row_level)]
    marking: dict[str, Step] = {}
    scope = before
    for rule, path in places:
        if isinstance(rule.parsed, Unique) and rule.field in before.schema and rule.field not in marking:
            scope.within(counted, GATHERED)
            try:
                marking[rule.field] = mark_repeated(replace(scope, path=path), rule.field)
            except PlanError as error:
                problems.append(error.problem)
                return LogicalNode(node, (), schema_of(before.schema))
            scope = replace(scope, schema=marking[rule.field].schema_behind(scope.schema))
    checks: list[Check] = []
    conditions = [rule.parsed.sql for rule in node.row_level if isinstance(rule.parsed, Holds)]
    scope.learn(conditions, negated=True)
    for rule, path in places:
        if len(problems) >= MAX_PROBLEMS:
            break
        try:
            checks.append(compile_rule(rule, replace(scope, path=path)))
        except PlanError as error:
            problems.append(error.problem)
        except Undecided:
            continue
    audit = compile_dataset_rules(node, before, problems)
    if not places:
        return LogicalNode(node, (), schema_of(before.schema), audit=audit)
    label = "check " + ", ".join(f"{rule.field} {rule.rule} ({rule.on_fail})" for rule in node.row_level)
    marks = [name for name in scope.schema if name not in before.schema]
    judge = Step(node.id, before.path, label, checks=tuple(checks))
    if marks:
        judge = replace(judge, reshape=lambda frame: frame.drop(marks), origins={})
    return LogicalNode(node, (*marking.values(), judge), schema_of(before.schema), audit=audit)
