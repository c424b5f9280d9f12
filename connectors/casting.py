"""Text to typed columns, vectorised: what each data type accepts, and which cells it does not."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import polars as pl
from polars.exceptions import PolarsError

from connectors.base import REJECT_SCHEMA, ROW, no_rejects
from connectors.types import MAX_PRECISION, decimal_size, polars_dtype
from ir.datatypes import EXPECTED
from ir.schema import Field

MAX_VALUE = 1000
"""Characters of an offending value that are kept."""

ALWAYS_READABLE = ("text", "varchar", "json")
"""Data types as which every value can be read."""

_TRUE = ["true", "t", "yes", "y", "on", "1"]
_FALSE = ["false", "f", "no", "n", "off", "0"]
_UUID = r"^(?:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|[0-9a-fA-F]{32})$"
_CHECKED_AS_TEXT = ("uuid", "json")
_FORMATTED = ("date", "time", "timestamp", "timestamptz")
_CLOCKS = ["%H:%M:%S", "%H:%M:%S%.f", "%H:%M"]
_ZONES = ["", "Z", "%#z"]
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ])\d\d:\d\d(:\d\d)?(\.\d{1,9})?(Z|[+-]\d\d(?::?\d\d)?)?$")
_STAMPS = [f"%Y-%m-%d{gap}{clock}{zone}" for zone in _ZONES for gap in "T " for clock in _CLOCKS]


def cast_text(text: pl.Series, field: Field) -> tuple[pl.Series, pl.Series | None]:
    """The text column as the field's type, and a mask of the cells that are not of it (None when all are).

    Nulls, and empty or blank text in columns that are not text, become null and are never offenders. Dates and
    timestamps are ISO 8601 unless the field has a `format`; a timestamp with an offset is moved to UTC, a timestamptz
    without one is taken as UTC. A decimal with a declared size is rounded to its scale as PostgreSQL does it (halves
    away from zero); without one, digits that Decimal(38, 9) has no place for make the cell an offender.
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
        # Only the cells that failed are worth a second, more forgiving look.
        again = result.is_null() & text.is_not_null() & (stripped != text)
        if again.any():
            result = _refill(result, again, _CASTS.get(field.data_type, _plain)(stripped.filter(again), field))
    bad = result.is_null() & text.is_not_null() & (stripped != "")
    return result, bad if bad.any() else None


def format_problem(field: Field) -> str | None:
    """Why the field's `format` cannot be used; None when it can, or there is none."""
    if field.format is None or field.data_type not in _FORMATTED:
        return None
    try:
        _CASTS[field.data_type](pl.Series(["x"]), field)
    except PolarsError as error:
        return f"'{field.format}' is not a format for a {field.data_type}: {str(error).splitlines()[0]}"
    return None


def cast_native(values: pl.Series, field: Field) -> tuple[pl.Series, pl.Series | None]:
    """The same for a column that is already typed (Parquet, a database): converted, and the cells that do not fit."""
    dtype = polars_dtype(field)
    if isinstance(values.dtype, pl.Categorical | pl.Enum):
        values = values.cast(pl.String)
    if values.dtype == pl.String:
        return cast_text(values, field)
    if values.dtype == dtype:
        return values, None
    if isinstance(values.dtype, pl.Datetime):
        values = _in_zone(values, aware=field.data_type == "timestamptz")
    elif isinstance(values.dtype, pl.List | pl.Array | pl.Struct):
        values = _to_json(values)
    elif values.dtype == pl.Binary:
        # as PostgreSQL writes bytes, and reads them
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


def cell_rejects(rows: pl.Series, values: pl.Series, bad: pl.Series, field: Field) -> pl.DataFrame:
    """One line of REJECT_SCHEMA for each cell in `bad` (rule `type`)."""
    if not bad.any():
        return no_rejects()
    text = values.filter(bad).cast(pl.String, strict=False).str.slice(0, MAX_VALUE)
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


def settle(
    raw: pl.DataFrame,
    rows: pl.Series,
    fields: tuple[Field, ...],
    cast: Callable[[pl.Series, Field], tuple[pl.Series, pl.Series | None]],
) -> tuple[pl.DataFrame, pl.DataFrame, list[str]]:
    """Casts every column of `raw`; gives the good rows (fields plus ROW), the rejects and the columns that had some."""
    columns: list[pl.Series] = []
    rejects: list[pl.DataFrame] = []
    failing: list[str] = []
    any_bad: pl.Series | None = None
    for field in fields:
        values = raw.get_column(field.name)
        if values.dtype == polars_dtype(field) and field.data_type not in _CHECKED_AS_TEXT:
            columns.append(values)
            continue
        result, bad = cast(values, field)
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


def _refill(result: pl.Series, where: pl.Series, values: pl.Series) -> pl.Series:
    places = where.arg_true()
    return result.scatter(places, values) if places.len() else result


def _blank_to_null(text: pl.Series) -> pl.Series:
    blank = text.str.strip_chars() == ""
    return text.set(blank, None) if blank.any() else text


def _plain(text: pl.Series, field: Field) -> pl.Series:
    return text.cast(polars_dtype(field), strict=False)


def _double(text: pl.Series, field: Field) -> pl.Series:
    """What only becomes infinite because a double ends there is no double, as for PostgreSQL."""
    result = text.cast(pl.Float64, strict=False)
    endless = result.is_infinite()
    if not endless.any():
        return result
    over = endless & ~text.str.contains(r"^\s*[+-]?(?i:inf|infinity)\s*$")
    return result.set(over, None) if over.any() else result


def _decimal(text: pl.Series, field: Field) -> pl.Series:
    precision, scale = decimal_size(field)
    result = text.cast(pl.Decimal(precision, scale), strict=False)
    if scale and (text.str.slice(-(scale + 1), 1) == ".").all():
        return result  # all have just as many digits behind the point, which is quickly seen
    sized = field.precision is not None or field.scale is not None
    point = text.str.find(".", literal=True)
    longer = ((text.str.len_bytes() - 1 - point) > scale).fill_null(value=False)
    if not sized:
        longer |= text.str.contains("[eE]").fill_null(value=False)
    if not longer.any():
        return result
    places = longer.arg_true()
    cells = pl.DataFrame(
        {"cell": text.gather(places), "end": point.gather(places) + 1 + scale, "read": result.gather(places)}
    )
    mended = cells.select((_rounded if sized else _undiminished)(scale)).to_series()
    return result.scatter(places, mended.cast(result.dtype, strict=False))


def _rounded(scale: int) -> pl.Expr:
    """What has more digits than the scale, rounded; polars' own way (`read`) is to round halves to even."""
    cut = pl.col("cell").str.head("end").cast(pl.Decimal(MAX_PRECISION, scale), strict=False)
    rest = pl.col("cell").str.slice("end")
    unit = pl.lit(Decimal(1).scaleb(-scale)).cast(pl.Decimal(MAX_PRECISION, scale))
    away = pl.when(pl.col("cell").str.contains(r"^\s*-")).then(-unit).otherwise(unit)
    half = pl.when(rest.str.contains("^[5-9]")).then(cut + away).otherwise(cut)
    return pl.when(rest.str.contains(r"^\d+\s*$") & cut.is_not_null()).then(half).otherwise("read")


def _undiminished(scale: int) -> pl.Expr:
    """The same where no digit may be lost: null when one is."""
    kept = pl.col("cell").str.slice("end").str.contains(r"^0*\s*$")
    power = pl.col("cell").str.contains("[eE]")
    same = pl.col("read").cast(pl.Float64) == pl.col("cell").cast(pl.Float64, strict=False)
    return pl.when(pl.when(power).then(same).otherwise(kept)).then("read")


def _boolean(text: pl.Series, field: Field) -> pl.Series:
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


def _date(text: pl.Series, field: Field) -> pl.Series:
    if field.format:
        return text.str.to_date(field.format, strict=False)
    return _plausible(text, text.str.to_date("%Y-%m-%d", strict=False))


def _time(text: pl.Series, field: Field) -> pl.Series:
    if field.format:
        return text.str.to_time(field.format, strict=False)
    return _first_fitting(text, ["%H:%M:%S%.f", "%H:%M"], lambda part, form: part.str.to_time(form, strict=False))


def _timestamp(text: pl.Series, field: Field) -> pl.Series:
    aware = field.data_type == "timestamptz"

    def parse(part: pl.Series, form: str) -> pl.Series:
        return _in_zone(part.str.to_datetime(form, strict=False, time_unit="us", cache=False), aware=aware)

    if field.format:
        return parse(text, field.format)
    # The form of the first value is nearly always the form of all: one parse of the whole column.
    form, offset = _form_of(_first(text) or "")
    result = parse(text, form)
    result = result - offset if offset else result
    left = result.is_null() & text.is_not_null()
    if left.any():
        rest = text.filter(left)
        again = _first_fitting(rest, _STAMPS, parse)
        if again.null_count():
            again = _refill(again, again.is_null(), _in_zone(_day_starts(rest.filter(again.is_null())), aware=aware))
        result = _refill(result, left, again)
    return _plausible(text, result)


def _day_starts(text: pl.Series) -> pl.Series:
    return text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))


def _first(text: pl.Series) -> str | None:
    place = text.is_not_null().arg_max()
    return None if place is None else text[place]


def _form_of(stamp: str) -> tuple[str, timedelta]:
    """The format that fits timestamps written like this one, its zone offset as literal text, and that offset.

    Literal text keeps polars on its fast path: 36 M values/s, against 4 M with a zone to parse.
    """
    match = _ISO.match(stamp)
    if match is None:
        return _STAMPS[0], timedelta()
    gap, seconds, fraction, zone = match.groups("")
    clock = "%H:%M" + (":%S" if seconds else "")
    if fraction:
        clock += f".%{len(fraction) - 1}f" if len(fraction) in (4, 7, 10) else "%.f"
    offset = timedelta()
    if zone not in ("", "Z"):
        digits = zone[1:].replace(":", "").ljust(4, "0")
        offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:])) * (-1 if zone[0] == "-" else 1)
    return f"%Y-%m-%d{gap}{clock}{zone}", offset


def _in_zone(stamps: pl.Series, *, aware: bool) -> pl.Series:
    zone = stamps.dtype.time_zone if isinstance(stamps.dtype, pl.Datetime) else None
    stamps = stamps.dt.cast_time_unit("us")
    if zone is None:
        return stamps.dt.replace_time_zone("UTC") if aware else stamps
    utc = stamps.dt.convert_time_zone("UTC")
    return utc if aware else utc.dt.replace_time_zone(None)


def _first_fitting(text: pl.Series, forms: list[str], parse: Callable[[pl.Series, str], pl.Series]) -> pl.Series:
    """Parses with the first form, then what is left with the next one, and so on."""
    result = parse(text, forms[0])
    for form in forms[1:]:
        left = result.is_null() & text.is_not_null()
        if not left.any():
            break
        result = _refill(result, left, parse(text.filter(left), form))
    return result


def _plausible(text: pl.Series, dates: pl.Series) -> pl.Series:
    """Takes back what the parser was too generous with: years of two digits or of five."""
    if dates.null_count() == dates.len():
        return dates
    years = dates.dt.year()
    low, high = years.min(), years.max()
    if isinstance(low, int) and isinstance(high, int) and low >= 1000 and high <= 9999:
        return dates
    odd = ((years < 1000) & ~text.str.contains(r"^\d{4}-")) | (years > 9999) | (years < 1)
    return dates.set(odd.fill_null(value=False), None)


def _to_json(values: pl.Series) -> pl.Series:
    boxed = values.to_frame("value").select(pl.struct("value").struct.json_encode()).to_series()
    # {"value":[...]} without its box
    return boxed.str.slice(9).str.head(-1).set(values.is_null(), None)


_CASTS: dict[str, Callable[[pl.Series, Field], pl.Series]] = {
    "boolean": _boolean,
    "decimal": _decimal,
    "double": _double,
    "uuid": _uuid,
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
    "timestamptz": _timestamp,
}
