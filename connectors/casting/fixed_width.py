"""Dates and timestamps that are all written in the usual form, `2024-05-01` and `2024-05-01T10:00:00Z`, read as columns
of digits: three times faster than a parser that looks at one text after the other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

_DATE = len("2024-05-01")
_SECONDS = len("2024-05-01T10:00:00")
_TENS, _ONES = [0, 2, 5, 8, 11, 14, 17], [1, 3, 6, 9, 12, 15, 18]
"""Where the two digits of century, year, month, day, hour, minute and second are."""
_DATE_PARTS = 4
_MARKS = {4: "-", 7: "-", 13: ":", 16: ":"}
_FIRST_CENTURY = 10
"""Earlier years are left to the parser, which tells `0024` from a year of two digits."""

_MONTHS = np.arange("0000-01", "10000-01", dtype="datetime64[M]").astype("datetime64[D]").astype(np.int32)
"""The day, counted from 1970, on which each month begins."""
_DAYS_IN = np.append(np.diff(_MONTHS), 31)

Cells = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]


def usual_dates(text: pl.Series) -> pl.Series | None:
    """The column as dates; None unless every text is a day of the calendar in the usual form."""
    cells = _cells(text, _DATE)
    parts = None if cells is None else _parts(cells, _DATE_PARTS)
    days = None if parts is None else _days(parts)
    return None if days is None else _filled(text, days.astype(np.int32)).cast(pl.Date)


def usual_timestamps(text: pl.Series, *, aware: bool) -> pl.Series | None:
    """The column as timestamps in microseconds, in UTC if `aware`; None unless every text is a time of a day of the
    calendar in the usual form, all with `T` or all with a blank, all with `Z` or all without."""
    zoned = text.str.len_bytes().max() == _SECONDS + 1
    cells = _cells(text, _SECONDS + zoned)
    if cells is None or (cells[:, 10] != cells[0, 10]).any() or cells[0, 10] not in b"T ":
        return None
    if zoned and (cells[:, _SECONDS] != ord("Z")).any():
        return None
    parts = _parts(cells, len(_TENS))
    if parts is None or (parts[:, 4] > 23).any() or (parts[:, 5:] > 59).any():
        return None
    if (days := _days(parts)) is None:
        return None
    hours, minutes, seconds = (parts[:, place].astype(np.int64) for place in (4, 5, 6))
    micros = (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000_000
    return _filled(text, micros).cast(pl.Datetime("us", "UTC" if aware else None))


def _cells(text: pl.Series, width: int) -> Cells | None:
    """The bytes of the texts that are not null, one per line; None if there are none, or one has another length."""
    there = text.drop_nulls() if text.null_count() else text
    lengths = there.str.len_bytes()
    if lengths.min() != width or lengths.max() != width:
        return None
    texts = there.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    assert isinstance(texts, pa.LargeStringArray)
    _, begins, content = texts.buffers()
    first = int(np.frombuffer(begins, dtype=np.int64, count=1, offset=8 * texts.offset)[0])
    return np.frombuffer(content, dtype=np.uint8, count=width * len(texts), offset=first).reshape(-1, width)


def _parts(cells: Cells, count: int) -> Cells | None:
    """The first numbers of two digits each; None if there is another character between or in place of them."""
    for place, mark in _MARKS.items():
        if place < cells.shape[1] and (cells[:, place] != ord(mark)).any():
            return None
    tens, ones = cells[:, _TENS[:count]] - 48, cells[:, _ONES[:count]] - 48
    return None if (tens > 9).any() or (ones > 9).any() else tens * 10 + ones


def _days(parts: Cells) -> Numbers | None:
    """The days counted from 1970; None if one is not in the calendar."""
    century, year, month, day = (parts[:, place] for place in range(_DATE_PARTS))
    if (century < _FIRST_CENTURY).any() or (month - 1 > 11).any():  # 0 - 1 is 255
        return None
    months = century.astype(np.int64) * 1200 + year.astype(np.int64) * 12 + month - 1
    if (day - 1 >= _DAYS_IN[months]).any():
        return None
    found: Numbers = _MONTHS[months].astype(np.int64) + day - 1
    return found


def _filled(text: pl.Series, values: npt.NDArray[np.integer]) -> pl.Series:
    """The values in the places of the texts, null in those of nulls."""
    if not text.null_count():
        return pl.Series(text.name, values)
    there = text.is_not_null()
    found = pl.Series(text.name, np.zeros(len(text), dtype=values.dtype))
    return found.scatter(there.arg_true(), pl.Series(values)).set(~there, None)
