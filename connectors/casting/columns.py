"""Whole columns cast to a data type: what each type accepts, and which cells it does not."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
from polars.exceptions import PolarsError

from headrace.connectors.casting.decimals import cast_decimal, cast_double
from headrace.connectors.casting.nested import to_json
from headrace.connectors.casting.times import (
    cast_date,
    cast_time,
    cast_timestamp,
    in_zone,
    refill,
    text_of_time,
    text_of_timestamps,
)
from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.source import REJECT_SCHEMA, ROW, no_rejects
from headrace.ir.schema import EXPECTED, Field

MAX_VALUE = 1000
"""Characters of a rejected value that are kept."""

ALWAYS_READABLE = ("text", "varchar", "json")
"""Data types that any text can be read as."""

_TRUE = ["true", "t", "yes", "y", "on", "1"]
_FALSE = ["false", "f", "no", "n", "off", "0"]
_UUID = r"^(?:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|[0-9a-fA-F]{32})$"
_CHECKED_AS_TEXT = ("uuid", "json")
_FORMATTED = ("date", "time", "timestamp", "timestamptz")


def cast_text(text: pl.Series, field: Field) -> tuple[pl.Series, pl.Series | None]:
    """(the text column in the field's type, a mask of the cells that are not of that type or None).

    Accepts what PostgreSQL accepts. Null, and blank text in columns other than text, becomes null and is never in the
    mask. Dates and timestamps are ISO 8601 unless the field has a `format`. A timestamptz is converted to UTC (one
    without an offset is taken as UTC); the offset of a timestamp is ignored. Fractions of a second are rounded to
    microseconds. A decimal with a declared size is rounded to its scale, halves away from zero; without one, a cell
    that does not fit Decimal(38, 9) exactly is in the mask.
    """
    if field.data_type in ("text", "varchar"):
        return text, None
    if field.data_type == "json":
        return _blank_to_null(text), None
    result = _CASTS.get(field.data_type, _plain)(text, field)
    if result.null_count() == text.null_count():
        return result, None
    stripped = text.str.strip_chars()
    if field.format is None or field.data_type not in _FORMATTED:
        # Only failed cells are tried again, without surrounding blanks.
        again = result.is_null() & text.is_not_null() & (stripped != text)
        if again.any():
            result = refill(result, again, _CASTS.get(field.data_type, _plain)(stripped.filter(again), field))
    bad = result.is_null() & text.is_not_null() & (stripped != "")
    return result, bad if bad.any() else None


def format_problem(field: Field) -> str | None:
    """Why the field's `format` cannot be used; None if it can, or there is none."""
    if field.format is None or field.data_type not in _FORMATTED:
        return None
    try:
        _CASTS[field.data_type](pl.Series(["x"]), field)
    except PolarsError as error:
        return f"'{field.format}' is not a format for a {field.data_type}: {str(error).splitlines()[0]}"
    return None


def cast_native(values: pl.Series, field: Field) -> tuple[pl.Series, pl.Series | None]:
    """Like `cast_text`, for a column that already has a type (from Parquet, Avro, ...)."""
    dtype = polars_dtype(field)
    if isinstance(values.dtype, pl.Categorical | pl.Enum):
        values = values.cast(pl.String)
    if values.dtype == pl.String:
        return cast_text(values, field)
    if values.dtype == dtype:
        return values, None
    if isinstance(values.dtype, pl.Datetime) and dtype == pl.String:
        return text_of_timestamps(values), None
    if isinstance(values.dtype, pl.Datetime):
        values = in_zone(values, aware=field.data_type == "timestamptz")
    elif isinstance(values.dtype, pl.List | pl.Array | pl.Struct):
        return to_json(values)
    elif values.dtype == pl.Time and dtype == pl.String:
        return values.to_frame("v").select(text_of_time(pl.col("v"))).to_series(), None
    elif values.dtype == pl.Binary:
        # PostgreSQL's hex format for bytea
        hexadecimal = values.to_frame("v").select(pl.format("\\x{}", pl.col("v").bin.encode("hex"))).to_series()
        return cast_text(hexadecimal, field)
    elif isinstance(values.dtype, pl.Duration):
        micros = values.dt.total_microseconds().to_frame("v")
        return cast_text(micros.select(pl.format("{} microseconds", "v")).to_series(), field)
    result = values.cast(dtype, strict=False)
    if dtype.is_integer() and (values.dtype.is_float() or values.dtype.is_decimal()):
        result = result.set((values != values.floor()).fill_null(value=False), None)  # no fraction is dropped silently
    bad = result.is_null() & values.is_not_null()
    return result, bad if bad.any() else None


def _beyond_the_calendar(values: pl.Series) -> pl.Series | None:
    """Which dates or timestamps polars has no calendar for, about from the year 262,000; None if there are none. It
    panics where it writes them."""
    if not isinstance(values.dtype, pl.Date | pl.Datetime):
        return None
    per_day = 1 if isinstance(values.dtype, pl.Date) else _PER_DAY[values.dtype.time_unit]
    days = values.to_physical()
    low, high = days.min(), days.max()
    limit = _CALENDAR_DAYS * per_day
    if not (isinstance(low, int) and isinstance(high, int)) or (-limit <= low and high <= limit):
        return None
    return ((days < -limit) | (days > limit)).fill_null(value=False)


_CALENDAR_DAYS = 95_000_000
_PER_DAY = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def cell_rejects(rows: pl.Series, values: pl.Series, bad: pl.Series, field: Field) -> pl.DataFrame:
    """One line of REJECT_SCHEMA for each cell in `bad` (rule `type`)."""
    if not bad.any():
        return no_rejects()
    text = _shown(values.filter(bad)).str.slice(0, MAX_VALUE)
    return pl.DataFrame(
        {
            "row": rows.filter(bad).cast(pl.Int64),
            "column": pl.Series([field.name] * text.len(), dtype=pl.String),
            "value": text,
            "error": pl.Series([_expected(field)] * text.len(), dtype=pl.String),
            "rule": pl.Series(["type"] * text.len(), dtype=pl.String),
        },
        schema=REJECT_SCHEMA,
    )


def cast_columns(
    raw: pl.DataFrame,
    rows: pl.Series,
    fields: tuple[Field, ...],
    cast: Callable[[pl.Series, Field], tuple[pl.Series, pl.Series | None]],
) -> tuple[pl.DataFrame, pl.DataFrame, list[str]]:
    """Casts every column of `raw`: (good rows with the fields and ROW, rejects, names of columns with rejects)."""
    columns: list[pl.Series] = []
    rejects: list[pl.DataFrame] = []
    failing: list[str] = []
    any_bad: pl.Series | None = None
    for field in fields:
        values = raw.get_column(field.name)
        far = _beyond_the_calendar(values)
        dates = values if far is None else values.set(far, None)
        if values.dtype == polars_dtype(field) and field.data_type not in _CHECKED_AS_TEXT:
            result, bad = dates, None
        else:
            result, bad = cast(dates, field)
        if far is not None:
            bad = far if bad is None else far | bad
        columns.append(result.alias(field.name))
        if bad is not None:
            failing.append(field.name)
            rejects.append(cell_rejects(rows, values, bad, field))
            any_bad = bad if any_bad is None else any_bad | bad
    frame = pl.DataFrame([*columns, rows.cast(pl.Int64).alias(ROW)])
    if any_bad is None:
        return frame, no_rejects(), failing
    return frame.filter(~any_bad), pl.concat(rejects).sort("row", maintain_order=True), failing


def _expected(field: Field) -> str:
    message = EXPECTED[field.data_type]
    return f"{message} in format {field.format}" if field.format else message


def _blank_to_null(text: pl.Series) -> pl.Series:
    blank = text.str.strip_chars() == ""
    return text.set(blank, None) if blank.any() else text


def _plain(text: pl.Series, field: Field) -> pl.Series:
    return text.cast(polars_dtype(field), strict=False)


def _boolean(text: pl.Series, field: Field) -> pl.Series:
    true = text == "true"
    if (true | (text == "false")).all():
        return true  # nearly always: no other words
    lower = text.str.to_lowercase()
    return lower.replace_strict(
        _TRUE + _FALSE, [True] * len(_TRUE) + [False] * len(_FALSE), default=None, return_dtype=pl.Boolean
    )


def _uuid(text: pl.Series, field: Field) -> pl.Series:
    bad = ~text.str.contains(_UUID)
    if not bad.any():
        return text
    bare = text.str.strip_chars("{}") if (text.str.starts_with("{") & text.str.ends_with("}")).any() else text
    bad = ~bare.str.contains(_UUID)
    return bare.set(bad, None) if bad.any() else bare


_CASTS: dict[str, Callable[[pl.Series, Field], pl.Series]] = {
    "boolean": _boolean,
    "decimal": cast_decimal,
    "double": cast_double,
    "uuid": _uuid,
    "date": cast_date,
    "time": cast_time,
    "timestamp": cast_timestamp,
    "timestamptz": cast_timestamp,
}


def _shown(values: pl.Series) -> pl.Series:
    if _beyond_the_calendar(values) is not None:
        values = values.to_physical()  # the number, for there is no date
    return values.cast(pl.String, strict=False)
