"""Text to dates, times and timestamps: ISO 8601, or the field's own format."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import polars as pl

from headrace.connectors.casting.fixed_width import usual_dates, usual_timestamps
from headrace.ir.schema import Field

_MICROS = 1_000_000
_NANOS = 1_000
_DAY_NANOS = 86_400 * 1_000_000_000
_LONG_FRACTION = r"^(.*?)(\.[0-9]{7,})(.*)$"
"""A fraction of a second finer than microseconds, PostgreSQL's resolution."""
_CLOCKS = ["%H:%M:%S", "%H:%M:%S%.f", "%H:%M"]
_ZONES = ["", "Z", "%#z"]
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ])\d\d:\d\d(:\d\d)?(\.\d{1,9})?(Z|[+-](?:0\d|1[0-5])(?::?[0-5]\d)?)?$", re.ASCII)
_IN_PARTS = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,6})?"
    r"(Z|[+-](0[0-9]|1[0-5])(:?[0-5][0-9])?)?$"
)
_TO_SECONDS = len("2024-01-01T10:00:00")
_SAMPLE = 1_000
_STAMPS = [f"%Y-%m-%d{gap}{clock}{zone}" for zone in _ZONES for gap in "T " for clock in _CLOCKS]


def cast_date(text: pl.Series, field: Field) -> pl.Series:
    """The column as dates; null where a cell is not a date."""
    if field.format:
        return text.str.to_date(field.format, strict=False)
    if (usual := usual_dates(text)) is not None:
        return usual
    return _plausible(text, text.str.to_date("%Y-%m-%d", strict=False))


def cast_time(text: pl.Series, field: Field) -> pl.Series:
    """The column as times of day in microseconds; null where a cell is not a time."""
    if field.format:
        return _in_micros(text.str.to_time(field.format, strict=False))
    if _may_be_finer(text, "10:00:00"):
        plain, micros = _rounded_seconds(text)
        if micros is not None:
            nanos = cast_time(plain, field).cast(pl.Int64) + micros * 1000
            return nanos.set((nanos >= 86_400 * 1000 * _MICROS).fill_null(value=False), None).cast(pl.Time)
    return _first_fitting(text, ["%H:%M:%S%.f", "%H:%M"], lambda part, form: part.str.to_time(form, strict=False))


def _in_micros(times: pl.Series) -> pl.Series:
    """Drops the nanoseconds that a custom format may have parsed."""
    return (times.cast(pl.Int64) // 1000 * 1000).cast(pl.Time)


def _may_be_finer(text: pl.Series, whole: str) -> bool:
    """Whether a fraction may be finer than microseconds: a text is longer than `whole` with six more digits, or its
    point comes earlier, as in 2024-1-9. Looks at lengths and points only."""
    longest = text.str.len_bytes().max()
    if not isinstance(longest, int) or longest > len(whole) + len(".123456"):
        return isinstance(longest, int)
    point = text.str.find(".", literal=True).min()
    return isinstance(point, int) and point < len(whole)


def _rounded_seconds(text: pl.Series) -> tuple[pl.Series, pl.Series | None]:
    """(texts without fractions finer than a microsecond, those fractions in microseconds). Rounded like PostgreSQL,
    which reads a fraction as a double. The second is None if no text has such a fraction."""
    frame = pl.DataFrame({"text": text})
    found = frame.select(
        plain=pl.col("text").str.replace(_LONG_FRACTION, "${1}${3}"),
        part=("0" + pl.col("text").str.extract(_LONG_FRACTION, 2)).cast(pl.Float64, strict=False),
    )
    if found["part"].null_count() == text.len():
        return text, None
    micros = found.select((pl.col("part") * _MICROS).round(0, mode="half_to_even").cast(pl.Int64).fill_null(0))
    return found["plain"].alias(text.name), micros.to_series()


def cast_timestamp(text: pl.Series, field: Field) -> pl.Series:
    """The column as timestamps in microseconds (timestamptz in UTC); null where a cell is not a timestamp."""
    aware = field.data_type == "timestamptz"

    def parse(part: pl.Series, form: str) -> pl.Series:
        if not aware and form.endswith("%#z"):  # the offset of a timestamp is ignored, but must be valid
            read = part.str.to_datetime(form, strict=False, time_unit="us", cache=False)
            bare = part.str.replace(r"\s*[+-]\d\d(?::?\d\d)?\s*$", "")
            return bare.str.to_datetime(form[:-3], strict=False, time_unit="us", cache=False).set(read.is_null(), None)
        return in_zone(part.str.to_datetime(form, strict=False, time_unit="us", cache=False), aware=aware)

    if field.format:
        return parse(text, field.format)
    if (usual := usual_timestamps(text, aware=aware)) is not None:
        return usual
    if _may_be_finer(text, "2024-01-01 10:00:00"):
        plain, micros = _rounded_seconds(text)
        if micros is not None:
            return _plausible(plain, cast_timestamp(plain, field) + micros.cast(pl.Duration("us")))
    if _written_alike(text):
        # Nearly always all values are written like the first: one parse of the whole column.
        form, offset = _form_of(_first(text) or "")
        result = parse(text, form)
        result = result - offset if offset and aware else result
    else:
        result = _in_parts(text, aware=aware)
    left = result.is_null() & text.is_not_null()
    if left.any():
        rest = text.filter(left)
        again = _first_fitting(rest, _STAMPS, parse)
        if again.null_count():
            again = refill(again, again.is_null(), in_zone(_day_starts(rest.filter(again.is_null())), aware=aware))
        result = refill(result, left, again)
    return _plausible(text, result)


def _written_alike(text: pl.Series) -> bool:
    """Whether the first values have the same length."""
    return text.head(_SAMPLE).drop_nulls().str.len_bytes().n_unique() < 2


def _in_parts(text: pl.Series, *, aware: bool) -> pl.Series:
    """Timestamps with fractions and zones of any length: seconds, fraction and offset are parsed separately. Null where
    a cell has another form."""
    cells = text.set(~text.str.contains(_IN_PARTS), None)
    seconds = cells.str.head(_TO_SECONDS)
    gap = "T" if "T" in (_first(cells) or "T") else " "
    stamps = _first_fitting(
        seconds,
        [f"%Y-%m-%d{each}%H:%M:%S" for each in (gap, " T".replace(gap, ""))],
        lambda part, form: part.str.to_datetime(form, strict=False, time_unit="us", cache=False),
    )
    rest = cells.str.slice(_TO_SECONDS)
    if rest.str.contains("[Z+-]").any():
        zones = rest.str.extract("([Z+-].*)$").fill_null("")
        rest = rest.to_frame("rest").select(pl.col("rest").str.strip_suffix(zones)).to_series()
        if aware:
            known = zones.unique()
            offsets = pl.Series([_offset_of(zone) for zone in known], dtype=pl.Duration("us"))
            stamps = stamps - zones.replace_strict(known, offsets, return_dtype=pl.Duration("us"))
    micros = rest.str.slice(1).str.pad_end(6, "0").cast(pl.Int64)
    return in_zone(stamps + micros.cast(pl.Duration("us")), aware=aware)


def _day_starts(text: pl.Series) -> pl.Series:
    return text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))


def _first(text: pl.Series) -> str | None:
    place = text.is_not_null().arg_max()
    return None if place is None else text[place]


def _form_of(stamp: str) -> tuple[str, timedelta]:
    """(strptime format of timestamps written like this one, with the offset as literal text; the offset).

    Literal text keeps polars on its fast path: 36 million values/s, against 4 million with a zone to parse.
    """
    match = _ISO.match(stamp)
    if match is None:
        return _STAMPS[0], timedelta()
    gap, seconds, fraction, zone = match.groups("")
    clock = "%H:%M" + (":%S" if seconds else "")
    if fraction:
        clock += f".%{len(fraction) - 1}f" if len(fraction) in (4, 7, 10) else "%.f"
    return f"%Y-%m-%d{gap}{clock}{zone}", _offset_of(zone)


def _offset_of(zone: str) -> timedelta:
    if zone in ("", "Z"):
        return timedelta()
    digits = zone[1:].replace(":", "").ljust(4, "0")
    return timedelta(hours=int(digits[:2]), minutes=int(digits[2:])) * (-1 if zone[0] == "-" else 1)


def in_zone(stamps: pl.Series, *, aware: bool) -> pl.Series:
    """Timestamps in microseconds, in UTC: with the zone if `aware`, else without it."""
    zone = stamps.dtype.time_zone if isinstance(stamps.dtype, pl.Datetime) else None
    stamps = in_microseconds(stamps)
    if zone is None:
        return stamps.dt.replace_time_zone("UTC") if aware else stamps
    utc = stamps.dt.convert_time_zone("UTC")
    return utc if aware else utc.dt.replace_time_zone(None)


def in_microseconds(stamps: pl.Series) -> pl.Series:
    """Timestamps in microseconds; nanoseconds are rounded as PostgreSQL rounds, halves to even."""
    assert isinstance(stamps.dtype, pl.Datetime)
    if stamps.dtype.time_unit != "ns":
        return stamps.dt.cast_time_unit("us")
    zone = stamps.dtype.time_zone
    return _micros(stamps.to_physical()).cast(pl.Datetime("us", zone)).alias(stamps.name)


def time_in_microseconds(times: pl.Series) -> pl.Series:
    """Times of day without parts of a microsecond, rounded; null where that is midnight of the next day."""
    nanos = times.to_physical()
    if not (nanos % _NANOS != 0).any():
        return times
    rounded = _micros(nanos) * _NANOS
    return rounded.set(rounded >= _DAY_NANOS, None).cast(pl.Time).alias(times.name)


def _micros(nanos: pl.Series) -> pl.Series:
    whole, rest = nanos // _NANOS, nanos % _NANOS
    up = (rest > _NANOS // 2) | ((rest == _NANOS // 2) & (whole % 2 != 0))
    return whole + up.cast(pl.Int64)


def _first_fitting(text: pl.Series, forms: list[str], parse: Callable[[pl.Series, str], pl.Series]) -> pl.Series:
    """Parses with the first form, then the remaining cells with the next form, and so on."""
    result = parse(text, forms[0])
    for form in forms[1:]:
        left = result.is_null() & text.is_not_null()
        if not left.any():
            break
        result = refill(result, left, parse(text.filter(left), form))
    return result


def _plausible(text: pl.Series, dates: pl.Series) -> pl.Series:
    """Nulls dates that polars accepts and PostgreSQL does not: years of two or five digits, or with a sign."""
    if dates.null_count() == dates.len():
        return dates
    first = text.min()
    if isinstance(first, str) and first < "0":  # signs and blanks sort before digits
        signed = text.str.strip_chars_start().str.starts_with("+")
        dates = dates.set(signed.fill_null(value=False), None)
    years = dates.dt.year()
    low, high = years.min(), years.max()
    if isinstance(low, int) and isinstance(high, int) and low >= 1000 and high <= 9999:
        return dates
    odd = ((years < 1000) & ~text.str.contains(r"^\d{4}-")) | (years > 9999) | (years < 1)
    return dates.set(odd.fill_null(value=False), None)


def refill(result: pl.Series, where: pl.Series, values: pl.Series) -> pl.Series:
    """`result` with `values` in the places where the mask is true."""
    places = where.arg_true()
    return result.scatter(places, values) if places.len() else result


def text_of_timestamps(stamps: pl.Series) -> pl.Series:
    """Timestamps as PostgreSQL writes them with the time zone UTC: `2024-01-02 03:04:05.5`, one with a zone as
    `2024-01-02 03:04:05.5+00`."""
    zoned = isinstance(stamps.dtype, pl.Datetime) and stamps.dtype.time_zone is not None
    text = in_zone(stamps, aware=zoned).dt.to_string("%Y-%m-%d %H:%M:%S%.6f").str.replace(r"\.?0+$", "")
    return text + "+00" if zoned else text


def text_of_time(time: pl.Expr) -> pl.Expr:
    """Times of day as text, with the digits of the fraction that they need: polars' cast leaves the fraction out."""
    return time.dt.to_string("%H:%M:%S%.9f").str.replace(r"\.?0+$", "")
