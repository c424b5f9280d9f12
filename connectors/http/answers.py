"""Responses of an API: the records as JSON text, and the values needed to request the next page."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat

import msgspec
import numpy as np
import polars as pl

from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.dialect import BOM
from headrace.connectors.files.formats.xml import records_in
from headrace.connectors.files.jsontext.block import Block
from headrace.connectors.http.request_settings import Request

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ARRAY = msgspec.json.Decoder(list[msgspec.Raw])
_FAULTS = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError)
_SHOWN = 10
_NOTHING = (b"null", b"false", b"0", b'""', b"[]", b"{}")


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete response. `what` names the request in messages, without its query; `headers` are by lower-case
    name."""

    what: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    nothing: bool = False
    """Whether its status means that there are no records."""


def records_of(answer: Answer, request: Request) -> list[bytes]:
    """The records as JSON texts; values are not changed. Raises SourceError: `bad_page` for an unexpected format,
    `drift` if the records are not at their path."""
    if answer.nothing:
        return []
    body = answer.body.removeprefix(BOM)
    if request.format == "csv":
        return _of_csv(answer, body)
    if request.format == "xml":
        return _of_xml(answer, body, request.records)
    if request.format == "jsonl":
        return [line for line in map(bytes.strip, body.split(b"\n")) if line]
    if not body.strip():
        return []
    found = value_at(answer, request.records)
    if found is None:
        raise _not_there(answer, request.records)
    if found == b"null":
        return []
    if found[:1] == b"{":
        records: list[bytes] = [bytes(found)]
    else:
        try:
            records = list(map(bytes, _ARRAY.decode(found)))
        except _FAULTS:
            where = f"'{request.records}'" if request.records else "the answer"
            raise SourceError(
                "drift" if request.records else "bad_page",
                f"{answer.what}: {where} is neither an array nor an object.",
                "Set 'records' to the path of the records.",
            ) from None
    if request.scalars is not None:
        begin, end = b"{" + msgspec.json.encode(request.scalars) + b":", b"}"
        return list(map(b"".join, zip(repeat(begin), records, repeat(end))))
    return records


def value_at(answer: Answer, path: str) -> bytes | None:
    """The JSON text at a path such as `meta.next` or `items.0.id`; None if there is none. Raises SourceError."""
    found: bytes = answer.body.removeprefix(BOM).strip()
    if not path:
        _whole(answer, found)
    for step in path.split(".") if path else ():
        inner: bytes | None
        try:
            if found[:1] == b"[":
                items = _ARRAY.decode(found)
                inner = items[int(step)] if step.isdigit() and int(step) < len(items) else None
            elif found[:1] == b"{":
                inner = _OBJECT.decode(found).get(step)
            else:
                _whole(answer, found)
                return None
        except _FAULTS as error:
            raise _no_json(answer, error) from None
        if inner is None:
            return None
        found = bytes(inner).strip()
    return found


def text_at(answer: Answer, path: str) -> str | None:
    """The value at a path as text, a number in its original notation; None for null, an empty text, and a missing
    value."""
    found = value_at(answer, path)
    return None if found is None else as_text(found)


def as_text(value: bytes) -> str | None:
    """A JSON value as text; None for null and an empty text."""
    if value[:1] == b'"':
        return msgspec.json.decode(value, type=str) or None
    return None if value == b"null" else value.decode()


def says_yes(answer: Answer, path: str) -> bool:
    """Whether the value at a path exists and is not false, 0, empty or null."""
    found = value_at(answer, path)
    return found is not None and found not in _NOTHING and found.lower() not in (b'"false"', b'"0"', b'"no"')


def block_of(records: list[bytes]) -> Block:
    """Records as a block for the reader of JSON files."""
    text = b",".join(records)
    lengths = np.fromiter(map(len, records), dtype=np.int64, count=len(records))
    return Block(0, text, np.cumsum(lengths + 1) - 1, lines=False)


def _of_csv(answer: Answer, body: bytes) -> list[bytes]:
    if not body.strip():
        return []
    try:
        frame = pl.read_csv(io.BytesIO(body), infer_schema=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        said = str(error).splitlines()[0][:200]
        raise SourceError("bad_page", f"{answer.what}: not CSV: {said}.", "Check what the API gives.") from None
    return frame.write_ndjson().encode().splitlines() if frame.height else []


def _of_xml(answer: Answer, body: bytes, row: str) -> list[bytes]:
    if not body.strip():
        return []
    try:
        return records_in(body, row)
    except SourceError as error:
        code = {"no_rows": "drift", "bad_xml": "bad_page"}.get(error.code, error.code)
        hint = "Set 'records' to the element of a record." if code == "drift" else error.hint
        raise SourceError(code, f"{answer.what}: {error.message}", hint) from None


def _whole(answer: Answer, text: bytes) -> None:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except _FAULTS as error:
        raise _no_json(answer, error) from None


def _no_json(answer: Answer, error: BaseException) -> SourceError:
    kind = answer.headers.get("content-type", "")[:60]
    said = str(error)[:200].rstrip(".") or type(error).__name__
    shown = f" ({kind})" if kind.isprintable() and kind else ""
    return SourceError(
        "bad_page", f"{answer.what}: the answer{shown} is not JSON: {said}.", "Set 'format', or ask later."
    )


def _not_there(answer: Answer, path: str) -> SourceError:
    whole = answer.body.removeprefix(BOM).strip()
    try:
        keys = list(_OBJECT.decode(whole))[:_SHOWN] if whole[:1] == b"{" else []
    except _FAULTS:
        keys = []
    hint = f"The answer has: {', '.join(each[:50] for each in keys)}." if keys else "Set 'records' to their path."
    return SourceError("drift", f"{answer.what}: there is no '{path}' in the answer.", hint)
