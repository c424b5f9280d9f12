"""Reading a column as another data type inside a plan: which casts make sense, and the expressions that do them.

What text means as a number, a date or a boolean is said once, in `connectors.casting`; it is used here as a vectorised
function over a whole batch. Nothing raises on a value: what cannot be read becomes null and fails the step's check.
"""

from __future__ import annotations

import polars as pl

from connectors.casting import cast_native, format_problem
from connectors.types import polars_dtype
from flows.compile.broadcast import Broadcast
from flows.compile.step import Check, OnFail
from ir.datatypes import EXPECTED
from ir.schema import Field


class ImpossibleCast(Exception):
    """No value of the one type can be read as the other; the text says which."""


def expected(to: Field) -> str:
    """What a person reads about a value that cannot be read as `to`."""
    if to.data_type == "decimal" and to.precision is not None:
        return f"Expected decimal number with at most {to.precision} digits, {to.scale or 0} after the point"
    return f"{EXPECTED[to.data_type]} in format {to.format}" if to.format else EXPECTED[to.data_type]


def read_as(value: pl.Expr, have: pl.DataType, to: Field) -> pl.Expr:
    """`value` (of type `have`) as the polars type of `to`; null where it is null, blank or cannot be read.

    Raises ImpossibleCast for pairs of types that have nothing in common, such as a number and a date.
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
    """The column's values, or others of its type, as a person would write them."""
    value = pl.col(column) if value is None else value
    if isinstance(have, pl.Datetime):
        return value.dt.to_string("iso:strict")
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
    """A check on one column; where `fails` is null the row passes (a null passes every rule but `not_null`)."""
    return Check(rule, column, fails.fill_null(value=False), as_text(column, have), message, on_fail, reads)


def readable(
    rule: str, column: str, have: pl.DataType, to: Field, on_fail: OnFail = "quarantine"
) -> tuple[Check, pl.Expr]:
    """The check that every value of `column` can be read as `to`, and the expression that reads it. A blank text reads
    as null where `to` is not text."""
    value = pl.col(column)
    read = read_as(value, have, to)
    given = value.str.strip_chars() != "" if have == pl.String else value.is_not_null()
    return check(rule, column, have, given & read.is_null(), expected(to), on_fail), read
