"""Rows as the JSON texts of records, and records as the bodies of requests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
import polars as pl

from headrace.connectors.casting.nested import to_json
from headrace.connectors.casting.times import text_of_time
from headrace.connectors.errors import TargetError
from headrace.connectors.http.target.path import COMPLAINT, columns_of, paths, texts_of, unusable
from headrace.connectors.http.target.settings import HttpTarget
from headrace.connectors.http.target.template import Constant, FieldPlace, Items, Members, Part, fields_of
from headrace.connectors.source import REJECT_SCHEMA, ROW, no_rejects

_BOX = '{"v":'
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Records:
    """The rows that can be sent: `frame` has ROW, `record` (JSON text) and the `path` of the request, in the order of
    the rows. `rejects` (REJECT_SCHEMA) are the cells that cannot."""

    frame: pl.DataFrame
    rejects: pl.DataFrame


def rendered(frame: pl.DataFrame, settings: HttpTarget) -> Records:
    """The records of rows that have the columns of the template. Numbers keep their digits, times are ISO 8601. Raises
    TargetError(`type_mismatch`) for a column whose type JSON has no notation for."""
    cells: dict[str, pl.Series] = {}
    rejects: list[pl.DataFrame] = []
    bad = pl.repeat(value=False, n=frame.height, eager=True)
    for name in {each.field: None for each in fields_of(settings.template) if each.nulls == "reject"}:
        if (lacking := frame.get_column(name).is_null()).any():
            rows = frame.get_column(ROW).filter(lacking)
            rejects.append(_rejected(rows, name, _nothing(rows), "The record needs a value", "not_null"))
            bad = bad | lacking
    for place in {_key(each): each for each in fields_of(settings.template)}.values():
        name = place.field
        cells[_key(place)], wrong, complaint = _texts(frame.get_column(name), place)
        if wrong is not None:
            values = frame.get_column(name).cast(pl.String, strict=False).filter(wrong)
            rejects.append(_rejected(frame.get_column(ROW).filter(wrong), name, values, complaint, "type"))
            bad = bad | wrong
    in_path: dict[str, pl.Series] = {}
    for name in columns_of(settings.path):
        in_path[name] = texts_of(frame.get_column(name))
        if (wrong := unusable(in_path[name])).any():
            rows, values = frame.get_column(ROW).filter(wrong), in_path[name].filter(wrong)
            rejects.append(_rejected(rows, name, values, COMPLAINT, "path"))
            bad = bad | wrong
    made = pl.DataFrame({ROW: frame.get_column(ROW), **cells})
    record, path = _record(settings.template, settings), paths(settings.path, in_path)
    records = made.select(ROW, record.alias("record"), path.alias("path")).filter(~bad)
    too_long = records.get_column("record").str.len_bytes() > settings.batch.bytes - len(empty_body(settings))
    if too_long.any():
        rows = records.get_column(ROW).filter(too_long)
        complaint = f"The record has more than the {settings.batch.bytes:,} bytes of batch.bytes"
        rejects.append(_rejected(rows, None, _nothing(rows), complaint, "size"))
        records = records.filter(~too_long)
    found = pl.concat(rejects).sort("row", maintain_order=True) if rejects else no_rejects()
    return Records(records, found)


def content_of(records: pl.DataFrame, settings: HttpTarget) -> pl.Series:
    """What of the frame of `Records` is sent, for digests: the record, and its path where that has values."""
    record = records.get_column("record")
    return record if not columns_of(settings.path) else records.get_column("path") + " " + record


def refused(rows: pl.Series, messages: pl.Series) -> pl.DataFrame:
    """Rows that the API refused, as rejected cells."""
    return _rejected(rows, None, _nothing(rows), messages, "refused")


def cuts(records: pl.Series, settings: HttpTarget) -> Iterator[tuple[int, int]]:
    """The begin and end of each request in records (JSON texts), none of which is too long for one."""
    ends = np.cumsum(records.str.len_bytes().cast(pl.Int64).to_numpy() + 1)
    room = settings.batch.bytes - len(empty_body(settings)) + 1
    begin, before = 0, 0
    while begin < records.len():
        fits = int(np.searchsorted(ends, before + room, side="right"))
        end = min(begin + settings.batch.rows, max(fits, begin + 1), records.len())
        yield begin, end
        begin, before = end, int(ends[end - 1])


def body_of(records: list[str], settings: HttpTarget) -> bytes:
    """The body of a request."""
    if settings.format == "object":
        return records[0].encode()
    if settings.format == "jsonl":
        return ("\n".join(records) + "\n").encode()
    begin, end = _around(settings)
    return (begin + ",".join(records) + end).encode()


def empty_body(settings: HttpTarget) -> bytes:
    """The body without records."""
    return b"" if settings.format == "object" else body_of([], settings)


def content_type(settings: HttpTarget) -> str:
    """The content type of bodies."""
    return "application/x-ndjson" if settings.format == "jsonl" else "application/json"


def _around(settings: HttpTarget) -> tuple[str, str]:
    if not settings.records:
        return "[", "]"
    first, *inner = settings.records.split(".")
    constants = "".join(f"{json.dumps(key)}:{json.dumps(value)}," for key, value in settings.body.items())
    nested = "".join(f"{json.dumps(step)}:{{" for step in (first, *inner)[:-1])
    return f"{{{constants}{nested}{json.dumps((first, *inner)[-1])}:[", "]" + "}" * (len(inner) + 1)


def _record(part: Part, settings: HttpTarget) -> pl.Expr:
    match part:
        case Constant():
            return pl.lit(json.dumps(part.value, ensure_ascii=False))
        case FieldPlace():
            return pl.col(_key(part)).fill_null("null")
        case Items():
            items = [_record(each, settings) for each in part.of]
            return _enclosed("[", items, "]")
        case Members():
            members = [_member(key, each, settings) for key, each in part.of.items()]
            return _enclosed("{", members, "}")


def _key(place: FieldPlace) -> str:
    return f"{place.as_} {place.field}"


def _enclosed(begin: str, parts: list[pl.Expr], end: str) -> pl.Expr:
    if not parts:
        return pl.lit(begin + end)
    return pl.concat_str([pl.lit(begin), pl.concat_str(parts, separator=",", ignore_nulls=True), pl.lit(end)])


def _member(key: str, part: Part, settings: HttpTarget) -> pl.Expr:
    """The key and its value; null where it is left out."""
    omitted = isinstance(part, FieldPlace) and (part.nulls or settings.nulls) == "omit"
    value = pl.col(_key(part)) if isinstance(part, FieldPlace) and omitted else _record(part, settings)
    return pl.concat_str([pl.lit(json.dumps(key, ensure_ascii=False) + ":"), value])


def _texts(values: pl.Series, place: FieldPlace) -> tuple[pl.Series, pl.Series | None, str]:
    """(values as JSON texts, a mask of those that cannot be or None, what is wrong with them)."""
    dtype = values.dtype
    if place.type == "json" and dtype == pl.String:
        return *_embedded(values), "Expected JSON"
    if dtype == pl.Null:
        return values.cast(pl.String), None, ""
    if dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum):
        return _quoted(values.cast(pl.String)), None, ""
    frame, value = values.to_frame("v"), pl.col("v")
    if dtype.is_numeric() or dtype == pl.Boolean:
        text = values.cast(pl.String)
        text = _quoted(text) if place.as_ == "text" else text
        if dtype.is_float() and place.as_ == "value":
            wrong = (~values.is_finite()).fill_null(value=False)
            return text, wrong if wrong.any() else None, "NaN and infinity are no JSON numbers"
        return text, None, ""
    if isinstance(dtype, pl.Date | pl.Datetime):
        return _quoted(frame.select(value.dt.to_string("iso:strict")).to_series()), None, ""
    if dtype == pl.Time:
        return _quoted(frame.select(text_of_time(value)).to_series()), None, ""
    if dtype.is_nested() and _plain(dtype):
        return *to_json(values), "NaN and infinity are no JSON numbers"
    raise TargetError(
        "type_mismatch",
        f"Column '{values.name}' has values of type {str(dtype).lower()}, which JSON has no notation for.",
        "Convert it to text with a transform.",
    )


def _plain(dtype: pl.DataType) -> bool:
    """Whether all values inside a nested type have a notation in JSON."""
    if isinstance(dtype, pl.List | pl.Array):
        inner = [dtype.inner]
    elif isinstance(dtype, pl.Struct):
        inner = [field.dtype for field in dtype.fields]
    else:
        return dtype.is_integer() or dtype.is_float() or dtype in (pl.String, pl.Boolean, pl.Null)
    return all(_plain(each if isinstance(each, pl.DataType) else each()) for each in inner)


def _quoted(values: pl.Series) -> pl.Series:
    boxed = values.to_frame("v").select(pl.struct("v").struct.json_encode().str.slice(len(_BOX)).str.head(-1))
    return boxed.to_series().set(values.is_null(), None)


def _embedded(values: pl.Series) -> tuple[pl.Series, pl.Series | None]:
    """JSON texts as they are, without line ends, which a text in JSON cannot have; blank text is null."""
    text = values.str.strip_chars().str.replace_all(r"[\r\n]", " ")
    text = text.set((text == "").fill_null(value=False), None)
    given = text.drop_nulls().to_list()
    if _all_json(given):
        return text, None
    broken = {each for each in set(given) if not _all_json([each])}
    wrong = text.is_in(list(broken)).fill_null(value=False)
    return text.set(wrong, None), wrong


def _all_json(texts: list[str]) -> bool:
    try:
        found = _RAWS.decode(f"[{','.join(texts)}]".encode())
        return list(map(bytes, found)) == list(map(str.encode, texts))
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        return False


def _nothing(rows: pl.Series) -> pl.Series:
    return pl.repeat(None, rows.len(), dtype=pl.String, eager=True)


def _rejected(rows: pl.Series, name: str | None, values: pl.Series, error: str | pl.Series, rule: str) -> pl.DataFrame:
    columns = {
        "row": rows,
        "column": pl.repeat(name, rows.len(), dtype=pl.String, eager=True),
        "value": values,
        "error": error if isinstance(error, pl.Series) else pl.repeat(error, rows.len(), dtype=pl.String, eager=True),
        "rule": pl.repeat(rule, rows.len(), dtype=pl.String, eager=True),
    }
    return pl.DataFrame(columns, schema=REJECT_SCHEMA)
