"""Ops that turn rows into columns and columns into rows: `pivot`, `unpivot`, `explode`."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from headrace.connectors.source import ROW
from headrace.flows.compile.casting import ImpossibleCast, as_text, check, readable
from headrace.flows.compile.grouping import amount, check_names, grouped, side
from headrace.flows.compile.json_lists import LISTS, json_elements
from headrace.flows.compile.provenance import From, Made, Provenance, aggregated, grouped_by, named
from headrace.flows.compile.rules.base import Column
from headrace.flows.compile.scope import PlanError, Scope
from headrace.flows.compile.shuffle import Shuffle
from headrace.flows.compile.step import Check, OnFail, Step
from headrace.ir.ops import Explode, Pivot, Unpivot
from headrace.ir.schema import Field


def compile_pivot(op: Pivot, scope: Scope) -> tuple[Step, ...]:
    """Makes one row per group, with one aggregate per value of `on`."""
    groups = side(scope, op.group_by, "groupBy", values=[op.on, op.field, scope.cells.get(op.field)])
    check_names(scope, op.group_by, op.makes, "values")
    turned = Column(op.on, scope.column(op.on, "on"), scope)
    values: list[pl.Expr] = []
    for index, each in enumerate(op.values):
        try:
            only = (pl.col(op.on) == turned.literal(each.value)).fill_null(value=False)
        except PlanError as error:
            raise scope.fault(f"values[{index}]", error.problem.code, error.problem.message) from None
        values.append(amount(scope, op.fn, op.field, "field", only=only).alias(each.output))

    def evaluate(frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
        return grouped(frames[0], op.group_by, values)

    turned_by = aggregated(op.field, decided_by=(("conditional", From(op.on)),))
    provenance = grouped_by(op.group_by, dict.fromkeys(op.makes, turned_by))
    by = f" by {', '.join(op.group_by)}" if op.group_by else ""
    label = f"{op.fn}({op.field}) for {op.on} = {', '.join(each.value for each in op.values)}{by}"
    shuffle = Shuffle((groups,), evaluate, provenance.origins)
    return (Step(scope.node, scope.path, label, shuffle=shuffle, provenance=provenance),)


_PAIR = "__pair"
_FIELD_INDEX = "__turn"


def compile_unpivot(op: Unpivot, scope: Scope) -> tuple[Step, ...]:
    """Makes a row per field. Those of row n are numbered from (n - 1) · fields + 1, so that numbers are unique however
    rows are cut into batches."""
    have = [scope.column(name, f"fields[{index}]") for index, name in enumerate(op.fields)]
    for name, where in ((op.name_to, "nameTo"), (op.value_to, "valueTo")):
        if name not in op.fields:
            scope.new_column(name, where)
    if op.name_to == op.value_to:
        raise scope.fault("valueTo", "column_exists", "'nameTo' and 'valueTo' are the same", "choose another name")
    alike = len({str(dtype) for dtype in have}) == 1
    pairs = [
        pl.struct(
            pl.lit(name).alias(op.name_to),
            (pl.col(name) if alike else as_text(name, dtype)).alias(op.value_to),
            pl.lit(turn, pl.Int64).alias(_FIELD_INDEX),
        )
        for turn, (name, dtype) in enumerate(zip(op.fields, have, strict=True))
    ]
    number = (pl.col(ROW) - 1) * len(op.fields) + pl.col(_FIELD_INDEX) + 1

    def reshape(frame: pl.LazyFrame) -> pl.LazyFrame:
        several = frame.with_columns(pl.concat_list(pairs).alias(_PAIR)).drop(op.fields).explode(_PAIR).unnest(_PAIR)
        return several.with_columns(number.alias(ROW)).drop(_FIELD_INDEX)

    label = f"{', '.join(op.fields)} as rows of {op.name_to}, {op.value_to}"
    value = Made(named(op.fields), "identity" if alike else "transformation")
    provenance = Provenance({op.name_to: Made(), op.value_to: value})
    return (Step(scope.node, scope.path, label, reshape=reshape, copies=len(op.fields), provenance=provenance),)


_LIST = "__list"
_ELEMENT_INDEX = "__turn"
_MAX_ROW_NUMBER = 2**63 - 1


def compile_explode(op: Explode, scope: Scope) -> tuple[Step, ...]:
    """Finds the list of each row, skips rows without elements unless `keepEmpty`, makes a row per element, and reads
    the elements as their type."""
    have, to = scope.column(op.field, "field"), op.to or op.field
    scope.output(to, "to", replaces=op.field)
    if op.position_to is not None:
        scope.new_column(op.position_to, "positionTo")
        if op.position_to == to:
            raise scope.fault("positionTo", "column_exists", f"'{to}' is for the elements", "choose another name")
    on_fail: OnFail = "quarantine" if op.on_error == "null" else op.on_error
    elements, checks = _elements(op, scope, have, on_fail)
    label = f"list of {op.field}{f' at {op.separator!r}' if op.separator else ''}"
    found = Step(scope.node, scope.path, label, checks=checks, columns=(elements.alias(_LIST),))
    some = None if op.keep_empty else pl.col(_LIST).list.len().fill_null(0) > 0
    label = f"{'1' if some is not None else '0'} to {op.max_elements:,} elements"
    sized = Step(scope.node, scope.path, label, checks=_bounds(op, have, on_fail), keep=some)
    several = _exploded(op, scope, to, text=have in (pl.String, pl.Null) and op.separator is None)
    steps = [found, sized, several]
    if op.data_type is not None:
        schema_after = several.output_schema(found.output_schema(scope.schema))
        steps.append(_typed(op, scope, to, schema_after[to], on_fail))
    return tuple(steps)


def _elements(op: Explode, scope: Scope, have: pl.DataType, on_fail: OnFail) -> tuple[pl.Expr, tuple[Check, ...]]:
    """The list (null where there is none), and the check that a text is a list."""
    if isinstance(have, pl.List | pl.Array):
        if op.separator is not None:
            message = f"'{op.field}' is a list already"
            raise scope.fault("separator", "wrong_type", message, "leave the separator out")
        value = pl.col(op.field)
        return (value.arr.to_list() if isinstance(have, pl.Array) else value), ()
    value = scope.text(op.field, "field")
    text = value.str.strip_chars()
    if op.separator is not None:
        return pl.when(text != "").then(value.str.split(op.separator)), ()
    sound = text.str.starts_with("[") & value.str.json_path_match("$").is_not_null()
    found = pl.when(sound).then(value).map_batches(json_elements, return_dtype=LISTS, is_elementwise=True)
    broken = (text != "") & (text != "null") & ~sound
    no_list = check("explode", op.field, have, broken, "Expected a JSON list", on_fail)
    return found, () if op.on_error == "null" else (no_list,)


def _bounds(op: Explode, have: pl.DataType, on_fail: OnFail) -> tuple[Check, ...]:
    """Checks that the list is not too long, and that row numbers do not overflow: every `explode` multiplies them by
    its `maxElements`."""
    many = check(
        "explode",
        op.field,
        have,
        pl.col(_LIST).list.len() > op.max_elements,
        f"More than {op.max_elements:,} elements (maxElements)",
        on_fail,
    )
    numbered = check(
        "explode",
        op.field,
        have,
        pl.col(ROW) > _MAX_ROW_NUMBER // op.max_elements,
        "No row number is left for its elements: give the explode ops smaller maxElements",
        "abort",
    )
    return many, numbered


def _exploded(op: Explode, scope: Scope, to: str, *, text: bool) -> Step:
    """Makes a row per element. The elements of row n are numbered from (n - 1) · maxElements + 1, so that numbers are
    unique however rows are cut into batches. `text`: elements are JSON."""
    many = pl.col(_LIST).list.len()
    nothing = pl.concat_list(pl.lit(None))
    elements = pl.when(many > 0).then(pl.col(_LIST)).otherwise(nothing)
    turns = pl.when(many > 0).then(pl.int_ranges(1, many + 1, dtype=pl.Int64)).otherwise(nothing)
    element = pl.col(_LIST)
    if text:
        given = element != "null"
        plain = pl.when(element.str.starts_with('"')).then(element.str.json_path_match("$")).otherwise(element)
        element = pl.when(given).then(element if op.data_type == "json" else plain)
    columns = [
        element.alias(to),
        ((pl.col(ROW) - 1) * op.max_elements + pl.col(_ELEMENT_INDEX).fill_null(1)).alias(ROW),
    ]
    if op.position_to is not None:
        columns.append(pl.col(_ELEMENT_INDEX).alias(op.position_to))

    def reshape(frame: pl.LazyFrame) -> pl.LazyFrame:
        lists = frame.with_columns(elements.alias(_LIST), turns.alias(_ELEMENT_INDEX))
        return lists.explode(_LIST, _ELEMENT_INDEX).with_columns(columns).drop(_LIST, _ELEMENT_INDEX)

    made = {to: Made(named([_LIST]))} | ({op.position_to: Made(named([_LIST]))} if op.position_to else {})
    return Step(
        scope.node,
        scope.path,
        f"{op.field} as rows{f' of {to}' if to != op.field else ''}",
        reshape=reshape,
        origins=dict.fromkeys(made, _LIST),
        copies=op.max_elements,
        provenance=Provenance(made),
    )


def _typed(op: Explode, scope: Scope, to: str, have: pl.DataType, on_fail: OnFail) -> Step:
    assert op.data_type is not None
    try:
        unreadable, read = readable("explode", to, have, Field(to, op.data_type), on_fail)
    except ImpossibleCast as error:
        raise scope.fault("dataType", "impossible_cast", f"'{op.field}': {error}", "leave dataType out") from None
    checks = () if op.on_error == "null" else (unreadable,)
    return Step(scope.node, scope.path, f"{to} as {op.data_type}", checks=checks, columns=(read.alias(to),))
