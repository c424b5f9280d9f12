"""Finds cells that the database would reject before they are sent: nulls, lengths, ranges, enum labels."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from headrace.connectors.casting.columns import MAX_VALUE
from headrace.connectors.postgresql.copy.encode import convert_column, misfit_message
from headrace.connectors.postgresql.tables.describe import Column
from headrace.connectors.source import REJECT_SCHEMA, ROW, no_rejects


def precheck(
    frame: pl.DataFrame,
    columns: Sequence[Column],
    key: Sequence[str] = (),
    keyless: pl.Series | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(converted rows that may be sent, with ROW; rejects of the others). A row with a null in a column of `key` is
    always rejected, because it cannot be distinguished from others, unless `keyless` (a mask of the rows) says that it
    concerns the whole table."""
    rows = frame.get_column(ROW)
    found: list[pl.DataFrame] = []
    bad: pl.Series | None = None
    ready: list[pl.Series] = []
    for column in columns:
        values = frame.get_column(column.name)
        result, misfits = convert_column(values, column)
        ready.append(result.alias(column.name))
        for wrong, error, rule in _findings(values, result, misfits, column, column.name in key, keyless):
            found.append(_rejects(rows, values, wrong, column.name, error, rule))
            bad = wrong if bad is None else bad | wrong
    good = pl.DataFrame([*ready, rows])
    if bad is None:
        return good, no_rejects()
    return good.filter(~bad), pl.concat(found).sort("row", maintain_order=True)


def reject_nul(frame: pl.DataFrame, columns: Sequence[Column]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Like `precheck`, for NUL bytes in text. They are too rare to search for before the database has complained."""
    found: list[pl.DataFrame] = []
    bad: pl.Series | None = None
    for column in columns:
        values = frame.get_column(column.name)
        if values.dtype != pl.String:
            continue
        wrong = values.str.contains("\0", literal=True).fill_null(value=False)
        if wrong.any():
            error = "Text holds a NUL byte, which PostgreSQL cannot store"
            found.append(_rejects(frame.get_column(ROW), values, wrong, column.name, error, "22021"))
            bad = wrong if bad is None else bad | wrong
    return (frame, no_rejects()) if bad is None else (frame.filter(~bad), pl.concat(found))


def _findings(
    values: pl.Series,
    result: pl.Series,
    misfits: pl.Series | None,
    column: Column,
    is_key: bool,
    keyless: pl.Series | None,
) -> list[tuple[pl.Series, str, str]]:
    found: list[tuple[pl.Series, str, str]] = []
    if misfits is not None:
        complaint = misfit_message(column, values.dtype)
        found.append((misfits, complaint, "22003" if "range" in complaint else "22P02"))
    if (is_key or not column.nullable) and result.null_count():
        nulls = result.is_null() if misfits is None else result.is_null() & ~misfits
        nulls = nulls & ~keyless if is_key and keyless is not None else nulls
        if nulls.any():
            error = f'Null value in key column "{column.name}"' if is_key else f'Null value in column "{column.name}"'
            found.append((nulls, error, "upsert_key" if is_key else "not_null"))
    if result.dtype == pl.String and column.length is not None and _longest(result) > column.length:
        # PostgreSQL cuts trailing spaces instead of rejecting them.
        long = result.str.len_chars() > column.length
        long = (long & (result.str.strip_chars_end(" ").str.len_chars() > column.length)).fill_null(value=False)
        if long.any():
            found.append((long, f"Value too long for {column.sql_type}", "22001"))
    return found


def _longest(values: pl.Series) -> int:
    longest = values.str.len_bytes().max()
    return longest if isinstance(longest, int) else 0


def _rejects(rows: pl.Series, values: pl.Series, wrong: pl.Series, name: str, error: str, rule: str) -> pl.DataFrame:
    count = int(wrong.sum())
    chosen = values.filter(wrong)
    text = chosen.cast(pl.String, strict=False) if not chosen.dtype.is_nested() and chosen.dtype != pl.Binary else None
    return pl.DataFrame(
        {
            "row": rows.filter(wrong),
            "column": [name] * count,
            "value": [None] * count
            if text is None
            else text.str.replace_all("\0", "\\0", literal=True).str.slice(0, MAX_VALUE),
            "error": [error] * count,
            "rule": [rule] * count,
        },
        schema=REJECT_SCHEMA,
    )
