"""Rows of a frame as JSON, for people."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from headrace.connectors.source import ROW, reserved


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One output row of a node: its number in the source and its values as JSON."""

    row: int
    values: dict[str, Any]


def shown_rows(frame: pl.DataFrame) -> list[PreviewRow]:
    """The rows of a frame with ROW."""
    return [_row(each) for each in _showable(frame).iter_rows(named=True)]


def _showable(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame, with text in columns of dates that Python does not have: before the year 1, and after 9999."""
    return frame.with_columns(_text_of_far_dates(column) for column in frame if column.dtype.is_temporal())


def _text_of_far_dates(values: pl.Series) -> pl.Series:
    try:
        values.to_list()
    except (ValueError, OverflowError):
        return values.cast(pl.String)
    except pl.exceptions.PanicException:  # polars cannot write it either
        return values.to_physical()
    return values


def _row(values: Mapping[str, Any]) -> PreviewRow:
    return PreviewRow(values[ROW], {name: _json(value) for name, value in values.items() if not reserved(name)})


def _json(value: Any) -> Any:
    """A value as JSON: times in ISO 8601, decimals and timedeltas as text, bytes as hex text, NaN and infinity as
    null."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal() | timedelta():
            return str(value)
        case bytes():
            return value.hex()
        case list():
            return [_json(each) for each in value]
        case dict():
            return {key: _json(each) for key, each in value.items()}
    return value
