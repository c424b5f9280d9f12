"""Converts selected or unloaded rows of Redshift to frames for `Rows`."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from headrace.connectors.sql.select import Asked
from headrace.connectors.sql.stamps import read_dates, read_stamps

PIECE_BYTES = 16 * 1024 * 1024
"""The size limit of a frame in bytes."""


def frame(raw: pl.DataFrame, asked: Sequence[Asked]) -> pl.DataFrame:
    """The selected columns in order, under their names. A column is parsed as times if all its texts are times; other
    text columns stay text, and their bad values are rejected one by one."""
    if not asked:  # only the number of rows is needed
        return raw
    return pl.DataFrame([_finished(raw[:, place].alias(each.column.name), each) for place, each in enumerate(asked)])


def _finished(values: pl.Series, asked: Asked) -> pl.Series:
    if values.dtype != pl.String:
        return values
    kind = asked.column.kind
    if kind == "varbyte":
        return values.to_frame().select(pl.lit("\\x") + pl.col(values.name)).to_series().alias(values.name)
    if asked.as_declared:
        return values
    if kind == "date":
        return read_dates(values)
    if kind == "timestamp":
        return read_stamps(values, aware=False)
    if kind == "timestamptz":
        read = read_stamps(values.str.strip_suffix("+00"), aware=True)
        return values if read.dtype == pl.String else read
    return values
