"""Cells the database would refuse, found before it is asked: nulls, lengths, ranges, labels. Vectorised."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from connectors.base import REJECT_SCHEMA, ROW, no_rejects
from connectors.casting import MAX_VALUE
from connectors.postgresql.encode import complaint_about, converted
from connectors.postgresql.tables import Column


def precheck(
    frame: pl.DataFrame, columns: Sequence[Column], key: Sequence[str] = ()
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(rows that may be sent, converted to what the encoder takes, with ROW; rejects of the others). A row without a
    value in a column of `key` cannot be told from others: it is rejected whatever the column allows."""
    rows = frame.get_column(ROW)
    found: list[pl.DataFrame] = []
    bad: pl.Series | None = None
    ready: list[pl.Series] = []
    for column in columns:
        values = frame.get_column(column.name)
        result, misfits = converted(values, column)
        ready.append(result.alias(column.name))
        for wrong, error, rule in _findings(values, result, misfits, column, column.name in key):
            found.append(_rejects(rows, values, wrong, column.name, error, rule))
            bad = wrong if bad is None else bad | wrong
    good = pl.DataFrame([*ready, rows])
    if bad is None:
        return good, no_rejects()
    return good.filter(~bad), pl.concat(found).sort("row", maintain_order=True)


def without_nul(frame: pl.DataFrame, columns: Sequence[Column]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The same for NUL bytes in text, which are too rare to be looked for before the database complains."""
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
    values: pl.Series, result: pl.Series, misfits: pl.Series | None, column: Column, is_key: bool
) -> list[tuple[pl.Series, str, str]]:
    found: list[tuple[pl.Series, str, str]] = []
    if misfits is not None:
        complaint = complaint_about(column, values.dtype)
        found.append((misfits, complaint, "22003" if "range" in complaint else "22P02"))
    if (is_key or not column.nullable) and result.null_count():
        nulls = result.is_null() if misfits is None else result.is_null() & ~misfits
        if nulls.any():
            error = f'Null value in key column "{column.name}"' if is_key else f'Null value in column "{column.name}"'
            found.append((nulls, error, "upsert_key" if is_key else "not_null"))
    if result.dtype == pl.String and column.length is not None and _longest(result) > column.length:
        # PostgreSQL drops spaces at the end rather than refuse them.
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
