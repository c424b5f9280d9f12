"""Values as JSON text: MongoDB's Extended JSON (v2, relaxed), but that a Decimal128 is a number with all its digits.

Numbers that JSON has no form for (NaN, infinity), dates outside of the years 1970 to 9999, and types of BSON's own are
objects with a `$`, as the specification writes them.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from headrace.connectors.mongodb.bson import values
from headrace.connectors.mongodb.bson.layout import Buffer, Kind, Malformed, Places, utf8
from headrace.connectors.mongodb.bson.walk import Names, walk, zeros_after

_ESCAPED = r'["\\\x00-\x1f]'
_DEEPEST = 200
"""The most levels of nested documents; the server itself allows 100."""


def json_text(buffer: Buffer, kind: int, at: Places, size: Places, depth: int = 0) -> pl.Series:
    """Values of one type as JSON; null where a text in them is not UTF-8, or a document has a key twice. Raises
    Malformed."""
    if depth > _DEEPEST:
        raise Malformed("documents are nested too deeply")
    match kind:
        case Kind.DOUBLE:
            return _double(values.number(buffer, kind, at))
        case Kind.INT32 | Kind.INT64:
            return values.number(buffer, kind, at).cast(pl.String)
        case Kind.DECIMAL:
            return _finite(values.decimals(buffer, at), "$numberDecimal")
        case Kind.BOOL:
            return values.boolean(buffer, at).cast(pl.String)
        case Kind.NULL:
            return _repeated("null", len(at))
        case Kind.UNDEFINED:
            return _repeated('{"$undefined":true}', len(at))
        case Kind.MIN_KEY:
            return _repeated('{"$minKey":1}', len(at))
        case Kind.MAX_KEY:
            return _repeated('{"$maxKey":1}', len(at))
        case Kind.STRING:
            return quoted(values.text(buffer, at, size))
        case Kind.SYMBOL:
            return _formatted('{"$symbol":{}}', quoted(values.text(buffer, at, size)))
        case Kind.CODE:
            return _formatted('{"$code":{}}', quoted(values.text(buffer, at, size)))
        case Kind.OBJECT_ID:
            return _formatted('{"$oid":"{}"}', values.object_ids(buffer, at))
        case Kind.DATE:
            return _date(values.milliseconds(buffer, at))
        case Kind.TIMESTAMP:
            return _formatted('{"$timestamp":{"t":{},"i":{}}}', *values.stamps(buffer, at))
        case Kind.BINARY:
            return _binary(buffer, at, size)
        case Kind.REGEX:
            return _regex(buffer, at, size)
        case Kind.DB_POINTER:
            ids = values.object_ids(buffer, at + size - 12)
            names = quoted(values.text(buffer, at, size - 12))
            return _formatted('{"$dbPointer":{"$ref":{},"$id":{"$oid":"{}"}}}', names, ids)
        case Kind.CODE_WITH_SCOPE:
            length = buffer.int32(at + 4) + 4
            if (length < 5).any() or (length + 9 > size).any():
                raise Malformed("code with a scope that is none")
            code = quoted(values.text(buffer, at + 4, length))
            scope = _nested(buffer, at + 4 + length, array=False, depth=depth)
            return _formatted('{"$code":{},"$scope":{}}', code, scope)
        case Kind.DOCUMENT | Kind.ARRAY:
            return _nested(buffer, at, array=kind == Kind.ARRAY, depth=depth)
    raise Malformed(f"there is no type {kind}")


def quoted(texts: pl.Series) -> pl.Series:
    """Texts in quotes, escaped where needed; null stays null."""
    frame = texts.to_frame("v")
    plain = pl.concat_str(pl.lit('"'), pl.col("v"), pl.lit('"'))
    if not texts.str.contains(_ESCAPED).any():
        return frame.select(plain).to_series()
    # a struct's own JSON, without `{"v":` and `}`
    escaped = pl.struct("v").struct.json_encode().str.slice(5).str.head(-1)
    return frame.select(pl.when(pl.col("v").is_not_null()).then(escaped)).to_series()


def _nested(buffer: Buffer, at: Places, *, array: bool, depth: int) -> pl.Series:
    """Documents or arrays as JSON, joined from the JSON of their elements."""
    names = Names()
    runs = list(walk(buffer, at, names))
    opening, closing = ("[", "]") if array else ("{", "}")
    if not runs:
        return _repeated(opening + closing, len(at))
    parent = np.concatenate([run.parent for run in runs])
    kinds = np.concatenate([run.kind for run in runs])
    places = np.concatenate([run.at for run in runs])
    sizes = np.concatenate([run.size for run in runs])
    texts = _mixed(buffer, kinds, places, sizes, depth)
    frame = pl.DataFrame({"parent": parent, "text": texts})
    if not array:
        keys = np.concatenate([np.broadcast_to(run.name, len(run.at)) for run in runs])
        known = quoted(utf8(pl.Series(names.known, dtype=pl.Binary)))
        frame = frame.with_columns(known.gather(keys).alias("key"))
        frame = frame.with_columns(pl.concat_str("key", pl.lit(":"), "text").alias("text"))
        each = pl.Series(parent * len(names.known) + keys)
        if each.n_unique() < len(each):
            frame = frame.with_columns(frame.get_column("text").set(each.is_duplicated(), None))
    joined = (
        frame.sort("parent", maintain_order=True)
        .group_by("parent", maintain_order=True)
        .agg(
            pl.when(pl.col("text").null_count() == 0)
            .then(pl.concat_str(pl.lit(opening), pl.col("text").str.join(","), pl.lit(closing)))
            .alias("whole")
        )
    )
    found = _repeated(opening + closing, len(at))
    return found.scatter(joined.get_column("parent").to_numpy(), joined.get_column("whole"))


def _mixed(buffer: Buffer, kinds: np.ndarray, at: Places, size: Places, depth: int) -> pl.Series:
    """Values of several types as JSON, in their order."""
    parts, order = [], []
    for kind in np.unique(kinds):
        which = np.flatnonzero(kinds == kind)
        parts.append(json_text(buffer, int(kind), at[which], size[which], depth + 1).alias("text").rechunk())
        order.append(which)
    places = np.empty(len(kinds), dtype=np.int64)
    places[np.concatenate(order)] = np.arange(len(kinds))
    return pl.concat(parts).gather(places)


def _double(numbers: pl.Series) -> pl.Series:
    text = numbers.cast(pl.String)
    odd = ~numbers.is_finite()
    if not odd.any():
        return text
    names = text.str.replace("^inf$", "Infinity").str.replace("^-inf$", "-Infinity")
    return _formatted('{"$numberDouble":"{}"}', names).zip_with(odd, text)


def _finite(text: pl.Series, name: str) -> pl.Series:
    odd = text.str.contains("[Ny]")
    return text if not odd.any() else _formatted(f'{{"{name}":"{{}}"}}', text).zip_with(odd, text)


def _date(millis: pl.Series) -> pl.Series:
    known = millis.is_between(0, values.LAST_MS)
    text = _formatted('{"$date":"{}"}', values.iso(millis))
    return text if known.all() else text.zip_with(known, _formatted('{"$date":{"$numberLong":"{}"}}', millis))


def _binary(buffer: Buffer, at: Places, size: Places) -> pl.Series:
    content = values.payload(buffer, at, size)
    hexed = pl.Series([f"{each:02x}" for each in range(256)]).gather(buffer.data[at + 4])
    base64 = content.bin.encode("base64")
    return _formatted('{"$binary":{"base64":"{}","subType":"{}"}}', base64, hexed)


def _regex(buffer: Buffer, at: Places, size: Places) -> pl.Series:
    first = zeros_after(buffer, at) - at
    pattern, options = utf8(buffer.binary(at, first)), utf8(buffer.binary(at + first + 1, size - first - 2))
    text = '{"$regularExpression":{"pattern":{},"options":{}}}'
    return _formatted(text, quoted(pattern), quoted(options))


def _repeated(text: str, count: int) -> pl.Series:
    return pl.Series([text]).new_from_index(0, count)


def _formatted(form: str, *parts: pl.Series) -> pl.Series:
    """The template with the parts in place of `{}`; null where a part is null."""
    pieces = form.split("{}")
    frame = pl.DataFrame([part.alias(str(place)) for place, part in enumerate(parts)])
    said: list[pl.Expr] = [pl.lit(pieces[0])]
    for place, piece in enumerate(pieces[1:]):
        said += [pl.col(str(place)).cast(pl.String), pl.lit(piece)]
    return frame.select(pl.concat_str(said).alias("text")).to_series()
