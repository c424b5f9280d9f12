"""Reading values as another data type: columns, literals of the document, and lookup keys.

What text means as a number, a date or a boolean is defined once, in `connectors.casting.columns`; here it is applied to
whole batches. No value raises: what cannot be read becomes null and fails the step's check."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import polars as pl

from headrace.connectors.casting.columns import cast_native, format_problem
from headrace.connectors.casting.times import text_of_time
from headrace.connectors.datatypes import field_of_polars, polars_dtype
from headrace.flows.compile.reference_tables import Broadcast
from headrace.flows.compile.scope import Scope
from headrace.flows.compile.step import Check, OnFail
from headrace.ir.schema import EXPECTED, Field


class ImpossibleCast(Exception):
    """No value of one type can be read as the other; the text names both."""


def expected(to: Field) -> str:
    """The message for a value that cannot be read as `to`."""
    if to.data_type == "decimal" and to.precision is not None:
        return f"Expected decimal number with at most {to.precision} digits, {to.scale or 0} after the point"
    return f"{EXPECTED[to.data_type]} in format {to.format}" if to.format else EXPECTED[to.data_type]


def read_as(value: pl.Expr, have: pl.DataType, to: Field) -> pl.Expr:
    """`value` (of type `have`) as the polars type of `to`; null where it is null, blank or cannot be read.

    Raises ImpossibleCast for types that cannot be converted, such as a number and a date.
    """
    want = polars_dtype(to)
    if problem := format_problem(to):
        raise ImpossibleCast(problem)
    if (have == want and to.data_type not in ("uuid", "json")) or have == pl.Null:
        return value.cast(want)
    if not _comparable(have, to):
        raise ImpossibleCast(f"{have} cannot be read as {to.data_type}")
    if have.is_integer() and want.is_numeric():
        return value.cast(want, strict=False)  # what `_vectorised` would do too, but inside polars
    if have.is_integer() and want == pl.Boolean:
        return pl.when(value.is_in([0, 1])).then(value == 1)
    return _vectorised(value, to)


def _vectorised(value: pl.Expr, to: Field) -> pl.Expr:
    return value.map_batches(lambda s: cast_native(s, to)[0], return_dtype=polars_dtype(to), is_elementwise=True)


def _comparable(have: pl.DataType, to: Field) -> bool:
    if have == pl.String or have.is_(pl.Categorical) or isinstance(have, pl.Enum):
        return True
    if to.data_type in ("text", "varchar"):
        return not isinstance(have, pl.Object)
    if to.data_type == "json":
        return have.is_nested()
    if isinstance(have, pl.Date | pl.Datetime):
        return to.data_type in ("date", "timestamp", "timestamptz") or (
            to.data_type == "time" and isinstance(have, pl.Datetime)
        )
    if to.data_type == "boolean":
        return have.is_integer()
    numeric = to.data_type in ("smallint", "integer", "bigint", "decimal", "double")
    return numeric and (have.is_numeric() or have == pl.Boolean)


def as_text(column: str, have: pl.DataType, value: pl.Expr | None = None) -> pl.Expr:
    """The column's values as text, or the values of `value`, which have its type."""
    value = pl.col(column) if value is None else value
    if isinstance(have, pl.Datetime):
        return value.dt.to_string("iso:strict")
    if have == pl.Time:
        return text_of_time(value)
    if have == pl.Binary:
        return value.bin.encode("hex")
    return value.cast(pl.String) if not have.is_nested() else _vectorised(value, Field(column, "json"))


def check(
    rule: str,
    column: str,
    have: pl.DataType,
    fails: pl.Expr,
    message: str,
    on_fail: OnFail = "quarantine",
    *,
    reads: tuple[Broadcast, ...] = (),
) -> Check:
    """A check on one column. Where `fails` is null the row passes (a null passes every rule but `not_null`)."""
    return Check(rule, column, fails.fill_null(value=False), as_text(column, have), message, on_fail, reads)


def readable(
    rule: str, column: str, have: pl.DataType, to: Field, on_fail: OnFail = "quarantine"
) -> tuple[Check, pl.Expr]:
    """The check that every value of `column` can be read as `to`, and the expression that reads it. Blank text is null
    unless `to` is text. Raises ImpossibleCast."""
    value = pl.col(column)
    read = read_as(value, have, to)
    given = value.str.strip_chars() != "" if have == pl.String else value.is_not_null()
    return check(rule, column, have, given & read.is_null(), expected(to), on_fail), read


Scalar = str | bool | int | float | None


def literals(scope: Scope, values: Iterable[Scalar], dtype: pl.DataType, where: str) -> pl.Series:
    """The values as `dtype`. Raises PlanError for one that cannot be read as it."""
    written = [_written(value) for value in values]
    given = pl.Series("value", written, dtype=pl.String)
    field = field_of_polars("value", dtype)
    try:
        read = given.to_frame().select(read_as(pl.col("value"), pl.String(), field).cast(dtype, strict=False))
    except ImpossibleCast as error:
        raise scope.fault(where, "impossible_cast", str(error)) from None
    wrong = given.filter(read.to_series().is_null() & given.is_not_null())
    if not wrong.is_empty():
        message = f"'{wrong[0]}' is not a {field.data_type}"
        raise scope.fault(where, "invalid_value", message, f"write a {field.data_type}")
    return read.to_series()


def common_type(values: Sequence[Scalar]) -> pl.DataType:
    """The type that holds all of them: text unless they are all numbers or all booleans."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return pl.Boolean()
    if kinds == {int}:
        return pl.Int64()
    return pl.Float64() if kinds and kinds <= {int, float} else pl.String()


def _written(value: Scalar) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def key_of_row(scope: Scope, column: str, key: Field, where: str) -> pl.Expr:
    """The column's values in the type of `key`; null, which matches nothing, where they cannot be. Raises PlanError."""
    have = scope.column(column, where)
    try:
        return _normalized(read_as(pl.col(column), have, Field(column, key.data_type, key.precision, key.scale)), key)
    except ImpossibleCast as error:
        message = f"'{column}' cannot be compared with '{key.name}': {error}"
        raise scope.fault(where, "impossible_cast", message, "cast it before") from None


def key_of_table(key: Field) -> pl.Expr:
    """The values of the table's key column, comparable with those of `key_of_row`."""
    return _normalized(pl.col(key.name), key)


def _normalized(value: pl.Expr, key: Field) -> pl.Expr:
    """UUIDs without hyphens and in lower case, so that all spellings are equal."""
    if key.data_type != "uuid":
        return value
    return value.str.replace_all("-", "", literal=True).str.to_lowercase()
