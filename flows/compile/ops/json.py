"""`parse_json`: columns out of JSON text."""

from __future__ import annotations

import polars as pl
from polars.exceptions import PolarsError

from headrace.flows.compile.casting import ImpossibleCast, check, expected, read_as
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.step import Check, Step
from headrace.ir.ops import ParseJson
from headrace.ir.ops.json import JsonColumn
from headrace.ir.schema import Field

_STRUCTURED = r"^[\[{]|^-?[0-9.eE+-]+$|^true$|^false$"


def compile_parse_json(op: ParseJson, scope: Scope) -> tuple[Step, ...]:
    """Extracts the values, and checks that the text is JSON and that each value is of its type."""
    value = scope.text(op.field, "field")
    have = scope.schema[op.field]
    on_fail = "quarantine" if op.on_error == "null" else op.on_error
    text = value.str.strip_chars()
    # json_path_match returns null for JSON's null too, not only for text that is not JSON.
    broken = (text != "") & (text != "null") & value.str.json_path_match("$").is_null()
    checks = [check("json", op.field, have, broken, "Expected JSON", on_fail)]
    columns: list[pl.Expr] = []
    for index, column in enumerate(op.into):
        scope.output(column.field, f"into[{index}].field", replaces=op.field)
        found = _found(scope, value, column, index)
        to = Field(column.field, column.data_type)
        try:
            read = read_as(found, pl.String(), to)
        except ImpossibleCast as error:
            raise scope.fault(f"into[{index}].dataType", "impossible_cast", str(error)) from None
        given = (found.str.strip_chars() != "") & read.is_null()
        message = f"{_path(column)}: {expected(to)}"
        checks.append(Check("json", op.field, given.fill_null(value=False), found, message, on_fail, derived=True))
        columns.append(read.alias(column.field))
    label = f"parse {op.field} into {', '.join(f'{each.field} {each.data_type}' for each in op.into)}"
    return (
        Step(
            scope.node,
            scope.path,
            label,
            checks=() if op.on_error == "null" else tuple(checks),
            columns=tuple(columns),
        ),
    )


def _found(scope: Scope, value: pl.Expr, column: JsonColumn, index: int) -> pl.Expr:
    """The text at the column's path."""
    path = _path(column)
    try:
        pl.select(pl.lit("{}").str.json_path_match(path))
    except PolarsError:
        hint = "for example $.address.city or $.items[0]"
        raise scope.fault(f"into[{index}].path", "invalid_path", f"'{path}' is not a JSON path", hint) from None
    found = value.str.json_path_match(path)
    if column.data_type != "json":
        return found
    # json_path_match returns strings without quotes, which JSON needs.
    quoted = pl.struct(found.alias("v")).struct.json_encode().str.slice(5).str.head(-1)
    return pl.when(found.str.contains(_STRUCTURED)).then(found).when(found.is_not_null()).then(quoted)


def _path(column: JsonColumn) -> str:
    return column.path or "$['" + column.field.replace("\\", "\\\\").replace("'", "\\'") + "']"
