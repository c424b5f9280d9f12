"""`explode`"""

from __future__ import annotations

import polars as pl

from connectors.base import ROW
from flows.compile.casting import ImpossibleCast, check, readable
from flows.compile.json_lists import LISTS, json_elements
from flows.compile.provenance import Made, Provenance, named
from flows.compile.scope import Scope
from flows.compile.step import Check, OnFail, Step
from ir.ops import Explode
from ir.schema import Field

_LIST = "__list"
_TURN = "__turn"
_MOST = 2**63 - 1


def compile_explode(op: Explode, scope: Scope) -> tuple[Step, ...]:
    """The list found in each row, the rows without elements skipped if they are to be, a row for each element, and the
    elements read as their type."""
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
    several = _several(op, scope, to, text=have in (pl.String, pl.Null) and op.separator is None)
    steps = [found, sized, several]
    if op.data_type is not None:
        behind = several.schema_behind(found.schema_behind(scope.schema))
        steps.append(_typed(op, scope, to, behind[to], on_fail))
    return tuple(steps)


def _elements(op: Explode, scope: Scope, have: pl.DataType, on_fail: OnFail) -> tuple[pl.Expr, tuple[Check, ...]]:
    """The list, null where there is none, and the check that a text is one."""
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
    """A list that is too long, and a row whose elements no number is left for: behind another `explode`, numbers grow
    by its `maxElements` times."""
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
        pl.col(ROW) > _MOST // op.max_elements,
        "No row number is left for its elements: give the explode ops smaller maxElements",
        "abort",
    )
    return many, numbered


def _several(op: Explode, scope: Scope, to: str, *, text: bool) -> Step:
    """A row for each element. Those of row n are numbered (n - 1) · maxElements + 1 and on, so that numbers stay apart
    however rows are cut into batches. `text`: elements are JSON."""
    many = pl.col(_LIST).list.len()
    nothing = pl.concat_list(pl.lit(None))
    elements = pl.when(many > 0).then(pl.col(_LIST)).otherwise(nothing)
    turns = pl.when(many > 0).then(pl.int_ranges(1, many + 1, dtype=pl.Int64)).otherwise(nothing)
    element = pl.col(_LIST)
    if text:
        given = element != "null"
        plain = pl.when(element.str.starts_with('"')).then(element.str.json_path_match("$")).otherwise(element)
        element = pl.when(given).then(element if op.data_type == "json" else plain)
    columns = [element.alias(to), ((pl.col(ROW) - 1) * op.max_elements + pl.col(_TURN).fill_null(1)).alias(ROW)]
    if op.position_to is not None:
        columns.append(pl.col(_TURN).alias(op.position_to))

    def reshape(frame: pl.LazyFrame) -> pl.LazyFrame:
        lists = frame.with_columns(elements.alias(_LIST), turns.alias(_TURN))
        return lists.explode(_LIST, _TURN).with_columns(columns).drop(_LIST, _TURN)

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
