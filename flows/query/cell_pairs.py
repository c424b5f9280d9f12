"""Cells of text files in a query: structures of the value and of the text as it is written."""

from __future__ import annotations

import polars as pl

from headrace.ir.sql.errors import PAIR

_VALUE, _TEXT = PAIR


def pair(value: pl.Expr, text: pl.Expr) -> pl.Expr:
    """The structure of a value and its text; null where there is no text."""
    return pl.when(text.is_not_null()).then(pl.struct(value.alias(_VALUE), text.alias(_TEXT)))


def pair_type(value: pl.DataType) -> pl.DataType:
    """The type of the structure with values of a type."""
    return pl.Struct({_VALUE: value, _TEXT: pl.String()})


def value_type(dtype: pl.DataType) -> pl.DataType | None:
    """The type of the values in such a structure; None for any other type."""
    if isinstance(dtype, pl.Struct) and [each.name for each in dtype.fields] == [*PAIR]:
        return pl.Schema(dtype.to_schema())[_VALUE]
    return None


def is_pair(described: str) -> bool:
    """Whether the type, as the engine describes it, is such a structure."""
    return described.startswith(f"STRUCT({_VALUE} ") and described.endswith(f", {_TEXT} VARCHAR)")


def text_of(column: str) -> str:
    """The SQL of the text in a column with such a structure."""
    return f"struct_extract({column}, '{_TEXT}')"
