"""Compiles a document into typed nodes: the steps of each node and its output columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from graphlib import TopologicalSorter
from typing import Any

import polars as pl

from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.source import ROW, reserved
from headrace.flows.compile.dataset_rules import compile_dataset_rules
from headrace.flows.compile.expression_types import Shape, schema_of
from headrace.flows.compile.logical_node import LogicalNode, LogicalPlan
from headrace.flows.compile.masking import mask_private_columns
from headrace.flows.compile.nodes.branch import compile_branch
from headrace.flows.compile.nodes.enrich import compile_enrich
from headrace.flows.compile.nodes.join import compile_join
from headrace.flows.compile.ops import COMPILERS
from headrace.flows.compile.reference_tables import ReferenceTable
from headrace.flows.compile.rules import compile_rule
from headrace.flows.compile.rules.unique import mark_repeated
from headrace.flows.compile.scope import PlanError, Scope, TooWide, Undecided
from headrace.flows.compile.step import Check, Step
from headrace.flows.compile.target.change_events import change_events
from headrace.flows.compile.target.conform import conform
from headrace.flows.compile.target.key_columns import key_problem, only_key_problem, watermark_problem
from headrace.flows.compile.target.schema_contract import TargetColumn
from headrace.flows.compile.type_inference.cast_steps import cast_step, cells_in, looked_at, restore_step, texts_kept
from headrace.flows.compile.type_inference.column_trace import joined
from headrace.flows.compile.type_inference.column_uses import (
    Uses,
    cells_after,
    makes_other_rows,
    uses_of_dataset_rules,
    uses_of_node,
    uses_of_op,
    uses_of_rule,
)
from headrace.flows.compile.type_inference.infer import View, Views, one_of
from headrace.flows.enrich import ProviderAccess
from headrace.ir import PipelineIR, Problem
from headrace.ir.nodes import (
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
from headrace.ir.ops import Expression, Filter
from headrace.ir.parsing.limits import GATHERED, NODE, RESHAPED
from headrace.ir.problems import MAX_PROBLEMS
from headrace.ir.rules import SqlCondition, Unique
from headrace.ir.schema import Schema


def logical_plan(
    ir: PipelineIR,
    sources: Mapping[str, Schema],
    targets: Mapping[str, Sequence[TargetColumn]],
    *,
    secrets: Mapping[str, Any] | None = None,
    tables: Mapping[str, ReferenceTable] | None = None,
    providers: ProviderAccess | None = None,
    views: Views | None = None,
    assumed: bool = False,
) -> LogicalPlan:
    """Types every node whose input columns are known; faults are in the plan's `problems`, nothing is raised.

    `sources` are the schemas by source node; nodes downstream of a source without one are not checked. `targets` are
    the table's columns by target node; a target without them is not conformed (`assumed`: its table is taken to have
    the incoming columns). `secrets` are the credentials that ops may name; without them the plan can be shown, but not
    run. `tables` are the lookup tables by qualified name; without them lookups, and nodes downstream, are not checked.
    `providers` gives access to providers; without it enrich nodes give null. `views` are the types in which undeclared
    text columns are read where a value is needed."""
    index = {node.id: position for position, node in enumerate(ir.nodes)}
    order = TopologicalSorter({node.id: [*map(producer, node.inputs)] for node in ir.nodes}).static_order()
    compiled: dict[str, LogicalNode] = {}
    problems: list[Problem] = []
    counted = Counter[str]()
    shapes: dict[str, Shape] = {}
    cells: dict[str, Mapping[str, View]] = {}
    """By node, the output columns that hold unparsed cells, and the types to read them in."""
    for node_id in order:
        if len(problems) >= MAX_PROBLEMS:
            break
        node = ir.nodes[index[node_id]]
        path = f"nodes[{index[node_id]}]"
        if isinstance(node, SourceNode | ArchiveNode):
            if node.id in sources:
                compiled[node.id] = LogicalNode(node, (), _source_schema(sources[node.id]))
                cells[node.id] = (views or {}).get(node.id, {})
            continue
        before = [compiled[reference].schema for reference in map(producer, node.inputs) if reference in compiled]
        if len(before) < len(node.inputs):
            continue
        scopes = [Scope(node.id, path, schema, tables, secrets) for schema in before]
        raw = [cells.get(producer(reference), {}) for reference in node.inputs]
        cells[node.id] = raw[0]
        try:
            for scope in scopes:
                scope.within(counted, GATHERED if isinstance(node, JoinNode) else NODE)
            match node:
                case TransformNode():
                    compiled[node.id], cells[node.id] = _transform(node, scopes[0], shapes, problems, counted, raw[0])
                case ValidateNode():
                    compiled[node.id] = _validate(node, scopes[0], problems, counted, raw[0])
                case BranchNode():
                    compiled[node.id] = _branch(node, scopes[0], problems, raw[0])
                case EnrichNode():
                    compiled[node.id] = _enrich(node, scopes[0], providers, raw[0])
                    cells[node.id] = {name: view for name, view in raw[0].items() if name != node.output_field}
                case JoinNode():
                    step = compile_join(node, *scopes, raw=(raw[0].keys(), raw[1].keys()))
                    cells[node.id] = joined(node, raw[0], raw[1], tuple(before[0]))
                    compiled[node.id] = LogicalNode(node, (step,), step.output_schema(*before))
                case TargetNode():
                    target = _target(node, scopes[0], targets.get(node.id), assumed=assumed)
                    compiled |= {node.id: target} if target is not None else {}
        except Undecided:
            continue
        except PlanError as error:
            problems.append(error.problem)
            if isinstance(error, TooWide):
                break
    return LogicalPlan(mask_private_columns(compiled), tuple(problems))


def _source_schema(schema: Schema) -> pl.Schema:
    return pl.Schema({field.name: polars_dtype(field) for field in schema} | {ROW: pl.Int64})


def _looking(
    scope: Scope,
    uses: Uses,
    cells: Mapping[str, View],
    rewritten: frozenset[str] = frozenset(),
    *,
    keep: bool = True,
    restore: bool = True,
) -> tuple[Scope, Callable[[Sequence[Step]], tuple[Step, ...]]]:
    """The scope of a step that needs typed values of `cells`, and a function that puts around it the steps that read
    the cells and restore them."""
    wanted = {name: to for name, to in looked_at(uses, cells).items() if scope.schema.get(name) == pl.String}
    if not wanted:
        return replace(scope, cells=cells_in(scope.schema, cells)), tuple
    first = cast_step(scope, wanted, keep=keep)
    last = (restore_step(scope, wanted, frozenset(wanted) - rewritten),) if keep and restore else ()
    schema = first.output_schema(scope.schema)
    return replace(scope, schema=schema, cells=cells_in(schema, cells)), lambda steps: (first, *steps, *last)


def _transform(
    node: TransformNode,
    before: Scope,
    shapes: dict[str, Shape],
    problems: list[Problem],
    counted: Counter[str],
    cells: Mapping[str, View],
) -> tuple[LogicalNode, Mapping[str, View]]:
    """The node, and its output columns that hold unparsed cells. Adds its output columns to `shapes`, by node id.
    Raises Undecided when the output of one of its ops cannot be known yet, and TooWide."""
    shape = shapes.get(producer(node.input)) or Shape(before.schema)
    steps: list[Step] = []
    notes: list[str] = []
    before.learn(op.expression for op in node.ops if isinstance(op, Expression | Filter))
    for position, op in enumerate(node.ops):
        if len(problems) >= MAX_PROBLEMS:
            break
        scope = replace(before, path=f"{before.path}.ops[{position}]", schema=shape.columns)
        try:
            after = cells_after(op, cells, lambda view: view, one_of, scope.is_text, scope.visible)
            seen, looking = _looking(
                scope,
                uses_of_op(op, cells, scope.is_text, scope.visible),
                cells,
                frozenset(name for name in cells if after.get(name) is not cells[name]),
                keep=texts_kept(op) or not makes_other_rows(op),
                restore=not makes_other_rows(op),
            )
            compiled = looking(COMPILERS[type(op)](op, seen))
            for step in compiled:
                work = GATHERED if step.shuffle is not None else RESHAPED if step.reshape is not None else 1
                replace(scope, schema=shape.columns).within(counted, work)
                with scope.checked(""):
                    shape = step.output_shape(shape)
            # keys of groups that were read are values in the output
            cells = {name: view for name, view in after.items() if shape.columns.get(name) == pl.String}
        except TooWide:
            raise
        except PlanError as error:
            problems.append(error.problem)
            # Later ops are checked too; the columns this one would have made are taken as untyped, so that one
            # mistake is reported once.
            shape = shape.changed({name: pl.Null() for name in op.makes if name not in shape.columns})
            continue
        steps.extend(compiled)
    shapes[node.id] = shape
    texts = {name: view for name, view in cells.items() if shape.columns.get(name) == pl.String}
    if not node.ops:
        notes = [f"{node.id} has no ops: its rows pass unchanged"]
    return LogicalNode(node, tuple(steps), schema_of(shape.columns), notes=tuple(notes)), texts


def _branch(node: BranchNode, before: Scope, problems: list[Problem], cells: Mapping[str, View]) -> LogicalNode:
    seen, looking = _looking(before, uses_of_node(node, cells, before.is_text), cells)
    return LogicalNode(node, looking(compile_branch(node, seen, problems)), schema_of(before.schema))


def _enrich(
    node: EnrichNode, before: Scope, providers: ProviderAccess | None, cells: Mapping[str, View]
) -> LogicalNode:
    """The node. Raises PlanError."""
    seen, looking = _looking(before, uses_of_node(node, cells), cells, frozenset([node.output_field]))
    found, silence = compile_enrich(node, seen, providers)
    steps = looking(found)
    schema = before.schema
    for step in steps:
        schema = step.output_schema(schema)
    return LogicalNode(node, steps, schema_of(schema), notes=(silence,) if silence is not None else ())


def _target(
    node: TargetNode, scope: Scope, table: Sequence[TargetColumn] | None, *, assumed: bool
) -> LogicalNode | None:
    """The node; None where its table is not known, unless that is `assumed` to have the incoming columns. Raises
    PlanError."""
    if fault := watermark_problem(node, scope.path, scope.schema, table):
        raise PlanError(fault)
    steps: list[Step] = []
    if (events := change_events(node, scope, table)) is not None:
        steps.append(events)
        scope = replace(scope, schema=events.output_schema(scope.schema))
    known = events is not None or not node.traits.events
    if known and (fault := key_problem(node, scope.path, scope.schema, table)):
        raise PlanError(fault)
    if table is None:
        written = tuple(name for name in scope.schema if not reserved(name))
        return LogicalNode(node, tuple(steps), pl.Schema(scope.schema), written) if assumed else None
    result = conform(node, scope, table)
    if fault := only_key_problem(node, scope.path, result.columns):
        raise PlanError(fault)
    steps.append(result.step)
    last = result.step.output_schema(scope.schema)
    return LogicalNode(node, tuple(steps), last, result.columns, result.left_out, result.added, notes=result.notes)


def _validate(
    node: ValidateNode, before: Scope, problems: list[Problem], counted: Counter[str], cells: Mapping[str, View]
) -> LogicalNode:
    """The node. Rules that need typed values of cells are checked after the others."""
    places = [(rule, f"{before.path}.rowLevel[{position}]") for position, rule in enumerate(node.row_level)]
    marking: dict[str, tuple[Step, ...]] = {}
    scope = before
    for rule, path in places:
        if isinstance(rule.parsed, Unique) and rule.field in before.schema and rule.field not in marking:
            scope.within(counted, GATHERED)
            try:
                seen, looking = _looking(replace(scope, path=path), Uses(key=frozenset([rule.field])), cells)
                marking[rule.field] = looking((mark_repeated(seen, rule.field),))
            except PlanError as error:
                problems.append(error.problem)
                return LogicalNode(node, (), schema_of(before.schema))
            for step in marking[rule.field]:
                scope = replace(scope, schema=step.output_schema(scope.schema))
    uses = {path: uses_of_rule(rule.parsed, rule.field, cells, scope.is_text) for rule, path in places}
    valued = {path for path, each in uses.items() if each.looked_at and looked_at(each, cells)}
    needed = Uses(value=frozenset(name for path in valued for name in uses[path].looked_at))
    seen, looking = _looking(scope, needed, cells)
    checks: list[Check] = []
    of_values: list[Check] = []
    conditions = [rule.parsed.sql for rule in node.row_level if isinstance(rule.parsed, SqlCondition)]
    scope.learn(conditions)
    for rule, path in places:
        if len(problems) >= MAX_PROBLEMS:
            break
        try:
            evaluated, at = (of_values, seen) if path in valued else (checks, scope)
            evaluated.append(compile_rule(rule, replace(at, path=path)))
        except PlanError as error:
            problems.append(error.problem)
        except Undecided:
            continue
    measured = looked_at(Uses(value=uses_of_dataset_rules(node, cells).looked_at), cells)
    measured = {name: to for name, to in measured.items() if before.schema.get(name) == pl.String}
    seen_by_audit = cast_step(before, measured, keep=False, evaluates=False) if measured else None
    audit = compile_dataset_rules(node, before, problems, seen_by_audit)
    if not places:
        return LogicalNode(node, (), schema_of(before.schema), audit=audit)
    label = "check " + ", ".join(f"{rule.field} {rule.rule} ({rule.on_fail})" for rule in node.row_level)
    marks = [name for name in scope.schema if name not in before.schema]
    evaluates = [Step(node.id, before.path, label, checks=tuple(checks))] if checks or not of_values else []
    if marks:
        forget = Step(node.id, before.path, label, reshape=lambda frame: frame.drop(marks), origins={})
        evaluates = [replace(evaluate, reshape=forget.reshape, origins={}) for evaluate in evaluates] or [forget]
    if of_values:
        evaluates += looking((Step(node.id, before.path, label, checks=tuple(of_values)),))
    marked = [step for steps in marking.values() for step in steps]
    return LogicalNode(node, (*marked, *evaluates), schema_of(before.schema), audit=audit)
