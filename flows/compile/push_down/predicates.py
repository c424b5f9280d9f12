"""Predicate push-down: conditions of the first filter after a source on single columns, for the source to use.

Only a filter before which no row can be changed or rejected: no check, no expression, no fork. And only if the filter
cannot fail on a value. So a row that the source skips would have been skipped by the filter, and is counted there.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import polars as pl

from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.source import ROW, Bound, Comparison
from headrace.flows.compile.stages.stage import Stage
from headrace.flows.compile.step import Step

_COMPARISONS: dict[str, Comparison] = {"Lt": "<", "LtEq": "<=", "Eq": "=", "GtEq": ">=", "Gt": ">"}
_TURNED: dict[Comparison, Comparison] = {"<": ">", "<=": ">=", "=": "=", ">=": "<=", ">": "<"}
_HARMLESS = {*_COMPARISONS, "NotEq", "And", "Or"}


def bounded(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The stages of a plan; those that read a source have the `bounds` of their first filter."""
    return tuple(stage if stage.source is None else _bounded(stage) for stage in stages)


def _bounded(stage: Stage) -> Stage:
    schema = pl.Schema({field.name: polars_dtype(field) for field in stage.schema} | {ROW: pl.Int64()})
    names = {name: name for name in schema}
    """Current column names → names in the source."""
    for segment in stage.trunk.segments:
        for step in segment.steps:
            if step.checks or step.columns or step.copies > 1:
                return stage
            if step.keep is not None:
                return _filtered(stage, step, schema, names)
            if step.origins is None:
                return stage
            schema = step.output_schema(schema)
            names = {name: names[step.origins.get(name, name)] for name in schema}
    return stage


def _filtered(stage: Stage, step: Step, schema: pl.Schema, names: Mapping[str, str]) -> Stage:
    assert step.keep is not None
    try:
        terms = list(_terms(json.loads(step.keep.meta.serialize(format="json"))))
    except RecursionError:  # a long CASE, whose branches are nested
        return stage
    if not all(_harmless(term) for term in terms):
        return stage
    found = [bound for term in terms if (bound := _bound(term, schema)) is not None]
    bounds = tuple(replace(bound, column=names[bound.column]) for bound in found)
    return replace(stage, bounds=bounds, bounded_by=step.node if bounds else "")


def _terms(tree: Any) -> Iterator[Any]:
    """The terms of a conjunction, as polars serializes it; null counts as false in a filter."""
    match tree:
        case {"Function": {"input": [inner, {"Literal": {"Scalar": {"Boolean": False}}}], "function": "FillNull"}}:
            yield from _terms(inner)
        case {"BinaryExpr": {"left": left, "op": "And", "right": right}}:
            yield from _terms(left)
            yield from _terms(right)
        case _:
            yield tree


def _bound(term: Any, schema: pl.Schema) -> Bound | None:
    """The term as a comparison of a column with a value of its type; None if it is not one."""
    compared = _compared(term)
    if compared is None or compared[1] not in _COMPARISONS:
        return None
    left, comparison, right = compared[0], _COMPARISONS[compared[1]], compared[2]
    match left, right:
        case {"Column": str(name)}, {"Literal": _}:
            value = _value(right)
        case {"Literal": _}, {"Column": str(name)}:
            value, comparison = _value(left), _TURNED[comparison]
        case _:
            return None
    return Bound(name, comparison, value) if name in schema and _of_type(value, schema[name]) else None


def _compared(term: Any) -> tuple[Any, str, Any] | None:
    match term:
        case {"BinaryExpr": {"left": left, "op": str(op), "right": right}}:
            return left, op, right
        case {"Function": {"input": [left, right], "function": {"Sql": {"Binary": str(op)}}}}:
            return left, op, right
    return None


def _value(literal: Any) -> Any:
    return pl.select(pl.Expr.deserialize(io.BytesIO(json.dumps(literal).encode()), format="json")).item()


def _of_type(value: object, have: pl.DataType) -> bool:
    """Whether the value can be compared with the column without a cast. Floats cannot, because of NaN's order."""
    match value:
        case bool():
            return False
        case int():
            return have.is_integer() or have.is_decimal()
        case Decimal():
            return have.is_decimal()
        case str():
            return have == pl.String
        case datetime():
            return isinstance(have, pl.Datetime) and (value.tzinfo is None) == (have.time_zone is None)
        case date():
            return have == pl.Date
    return False


def _harmless(term: Any) -> bool:
    """Whether it cannot fail on any value: comparisons, lists (IN), tests for null, and, or, not."""
    match term:
        case {"Column": _} | {"Literal": _}:
            return True
        case {"BinaryExpr": {"left": left, "op": str(op), "right": right}}:
            return op in _HARMLESS and _harmless(left) and _harmless(right)
        case {"Function": {"input": inputs, "function": "FillNull" | {"Boolean": "IsNull" | "IsNotNull" | "Not"}}}:
            return all(map(_harmless, inputs))
        case {"Function": {"input": inputs, "function": {"Sql": {"IsIn": _}}}}:
            return all(map(_harmless, inputs))
        case {"Function": {"input": inputs, "function": {"Sql": {"Binary": str(op)}}}}:
            return op in _HARMLESS and all(map(_harmless, inputs))
    return False
