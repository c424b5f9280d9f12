"""Comparing a row's value with a key of another table: both in the key's type."""

from __future__ import annotations

import polars as pl

from flows.compile.casting import ImpossibleCast, read_as
from flows.compile.scope import Scope
from ir.schema import Field


def key_of_row(scope: Scope, column: str, key: Field, where: str) -> pl.Expr:
    """The column's values as `key` has them; null where they cannot be, so that they equal none. Raises PlanError."""
    have = scope.column(column, where)
    try:
        return _plain(read_as(pl.col(column), have, Field(column, key.data_type, key.precision, key.scale)), key)
    except ImpossibleCast as error:
        message = f"'{column}' cannot be compared with '{key.name}': {error}"
        raise scope.fault(where, "impossible_cast", message, "cast it before") from None


def key_of_table(key: Field) -> pl.Expr:
    """The table's own values, comparable with those."""
    return _plain(pl.col(key.name), key)


def _plain(value: pl.Expr, key: Field) -> pl.Expr:
    """A UUID is the same however it is written."""
    if key.data_type != "uuid":
        return value
    return value.str.replace_all("-", "", literal=True).str.to_lowercase()
