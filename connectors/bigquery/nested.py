"""Converts Arrow types that polars does not have to text or JSON, with every digit.

JSON is written as BigQuery's TO_JSON_STRING does, but that every number is a JSON number whatever its size, because
PostgreSQL's jsonb keeps its digits. A range is text as PostgreSQL's range types read it, an interval as BigQuery writes
it, which PostgreSQL's reads too.
"""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from headrace.connectors.bigquery.types import Described, kind_of

_V = pl.col("v")
_MICROS = 1_000_000
_BELOW_DAY = "%H:%M:%S%.f"


def as_text(array: Any, described: Described) -> pl.Series:
    """Values of a scalar type as text; null stays null."""
    match kind_of(described):
        case "BIGNUMERIC" | "NUMERIC":
            return _digits(array)
        case "INTERVAL":
            return _interval(array)
        case "RANGE":
            return _range(array, described.get("rangeElementType") or {})
        case "FLOAT64":
            return _float(pl.Series(pl.from_arrow(array)))
        case "DATETIME":
            return _moments(array, f"%Y-%m-%dT{_BELOW_DAY}")
        case "TIMESTAMP":
            return _moments(array, f"%Y-%m-%dT{_BELOW_DAY}Z")
        case "DATE":
            return _moments(array, "%Y-%m-%d")
        case "TIME":
            return _moments(array, _BELOW_DAY)
        case "BYTES":
            return _one(pl.Series("v", pl.from_arrow(array)), _V.bin.encode("base64"))
    return pl.Series("v", pl.from_arrow(array)).cast(pl.String)


def as_json(array: Any, described: Described) -> pl.Series:
    """Values of any type as JSON; null stays null."""
    kind = kind_of(described)
    if kind == "ARRAY":
        return _array(array, {**described, "mode": "NULLABLE"})
    if kind == "STRUCT":
        return _struct(array, described)
    if kind == "JSON":
        return pl.Series("v", pl.from_arrow(array)).cast(pl.String)
    text = as_text(array, described).alias("v")
    if kind in ("INT64", "BOOL", "NUMERIC", "BIGNUMERIC"):
        return text
    if kind == "FLOAT64":
        return _one(text, pl.when(_V.str.contains("a|n")).then(pl.format('"{}"', _V)).otherwise(_V))
    return _quoted(text)


def _array(array: Any, element: Described) -> pl.Series:
    """`[1,null,3]`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = as_json(array.flatten(), element).fill_null("null").to_arrow().cast(pa.large_string())
    lengths = pc.fill_null(pc.list_value_length(array), 0).cast(pa.int64())
    ends = pc.cumulative_sum(lengths)
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), ends])
    lists = pl.Series("v", pl.from_arrow(pa.LargeListArray.from_arrays(offsets, texts)), dtype=pl.List(pl.String))
    joined = _one(lists, pl.format("[{}]", _V.list.join(",")))
    return _masked(joined, array)


def _struct(array: Any, described: Described) -> pl.Series:
    """`{"a":1,"b":null}`."""
    values: list[pl.Series] = []
    written: list[pl.Expr] = []
    for place, (child, field) in enumerate(zip(array.flatten(), described.get("fields", ()), strict=True)):
        values.append(as_json(child, field).fill_null("null").alias(f"v{place}"))
        name = json.dumps(str(field["name"]), ensure_ascii=False)
        written += [pl.lit(f"{',' if place else '{'}{name}:"), pl.col(f"v{place}")]
    texts = pl.DataFrame(values).select(pl.concat_str(*written, pl.lit("}")).alias("v")).to_series()
    return _masked(texts, array)


def _masked(texts: pl.Series, array: Any) -> pl.Series:
    return texts.set(pl.Series(pl.from_arrow(array.is_null())), None) if array.null_count else texts


def _quoted(texts: pl.Series) -> pl.Series:
    """Each as a JSON string."""
    boxed = texts.to_frame("v").select(pl.struct("v").struct.json_encode().str.slice(5).str.head(-1)).to_series()
    return boxed.set(texts.is_null(), None) if texts.null_count() else boxed


def _digits(array: Any) -> pl.Series:
    """Decimals of up to 77 digits, without trailing zeros."""
    import pyarrow as pa

    scale = array.type.scale
    whole = pa.decimal256(76, 0) if array.type.bit_width == 256 else pa.decimal128(38, 0)
    same_bits = pa.Array.from_buffers(whole, len(array), array.buffers(), -1, array.offset)
    text = pl.Series("v", pl.from_arrow(same_bits.cast(pa.large_string())))
    if not scale:
        return text
    bare = _V.str.strip_prefix("-").str.zfill(scale + 1)
    point = pl.format("{}.{}", bare.str.head(-scale), bare.str.tail(scale))
    trimmed = point.str.strip_chars_end("0").str.strip_chars_end(".")
    signed = pl.when(_V.str.starts_with("-")).then(pl.format("-{}", trimmed)).otherwise(trimmed)
    return _one(text, signed)


def _float(values: pl.Series) -> pl.Series:
    text = values.cast(pl.String)
    return text.replace({"inf": "Infinity", "-inf": "-Infinity"})


def _moments(array: Any, form: str) -> pl.Series:
    return _one(pl.Series("v", pl.from_arrow(array)), _V.dt.to_string(form))


def _interval(array: Any) -> pl.Series:
    """`1-2 3 4:5:6.789`, each of the three parts with its sign."""
    import pyarrow as pa

    # a month_day_nano is 16 bytes: months and days of 32 bits each, nanoseconds of 64
    words = pl.Series(pl.from_arrow(pa.Array.from_buffers(pa.int32(), 4 * len(array), _bits(array, 16))))
    longs = pl.Series(pl.from_arrow(pa.Array.from_buffers(pa.int64(), 2 * len(array), _bits(array, 16))))
    frame = pl.DataFrame(
        {
            "months": words.gather_every(4).cast(pl.Int64),
            "days": words.gather_every(4, 1).cast(pl.Int64),
            "nanos": longs.gather_every(2, 1),
        }
    )
    months, days, nanos = pl.col("months"), pl.col("days"), pl.col("nanos")
    second = 1_000_000_000
    rest = (nanos % second).abs()
    rest = pl.when(nanos < 0).then((second - nanos % second) % second).otherwise(rest)
    seconds = pl.when(nanos < 0).then(-(nanos + rest) // second).otherwise(nanos // second)
    fraction = pl.format(".{}", rest.cast(pl.String).str.zfill(9)).str.strip_chars_end("0").str.strip_chars_end(".")
    texts = frame.select(
        pl.format(
            "{}{}-{} {} {}{}:{}:{}{}",
            _sign(months),
            months.abs() // 12,
            months.abs() % 12,
            days,
            _sign(nanos),
            seconds // 3600,
            seconds // 60 % 60,
            seconds % 60,
            fraction,
        ).alias("v")
    ).to_series()
    return _masked(texts, array)


def _sign(number: pl.Expr) -> pl.Expr:
    return pl.when(number < 0).then(pl.lit("-")).otherwise(pl.lit(""))


def _bits(array: Any, width: int) -> list[Any]:
    return [None, array.buffers()[1].slice(array.offset * width, len(array) * width)]


def _range(array: Any, element: Described) -> pl.Series:
    """`[2024-01-01,2024-02-01)`; an unbounded end is an empty text."""
    start, end = (as_text(each, element).fill_null("") for each in array.flatten())
    texts = (
        pl.DataFrame([start.alias("s"), end.alias("e")]).select(pl.format("[{},{})", "s", "e").alias("v")).to_series()
    )
    return _masked(texts, array)


def _one(values: pl.Series, expression: pl.Expr) -> pl.Series:
    return values.alias("v").to_frame().select(expression.alias("v")).to_series()
