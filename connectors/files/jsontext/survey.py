"""One pass over the records of a JSON file before rows are loaded: counts, keys, sample values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

import msgspec
import numpy as np
import polars as pl

from headrace.connectors.errors import SourceError
from headrace.connectors.files.delimited.encoding import invalid_offsets
from headrace.connectors.files.delimited.infer import infer_field
from headrace.connectors.files.delimited.scanned_range import Slice
from headrace.connectors.files.delimited.structure import Bytes
from headrace.connectors.files.jsontext.block import Block
from headrace.connectors.files.jsontext.cells import NESTED, QUOTE, cells
from headrace.connectors.files.jsontext.rows import NULL, Faulty, Objects, Rows
from headrace.ir.schema import DataType, Field

MOST_COLUMNS = 1600
"""The most columns of a PostgreSQL table."""

_SAMPLED = 2000
_SAMPLED_EACH = 200
_WRONG_ENCODING = 1000
_NOT_OF_TEXTS: frozenset[DataType] = frozenset({"integer", "bigint", "double", "boolean"})
"""Types not inferred for JSON strings: such a value would have been written as a number or boolean."""


@dataclass(slots=True)
class Survey:
    """`keys` are in the order of first appearance; all keys of the file if `complete`."""

    slices: list[Slice] = field(default_factory=list)
    rows: int = 0
    keys: list[str] = field(default_factory=list)
    samples: list[dict[str, msgspec.Raw]] = field(default_factory=list)
    complete: bool = True


def survey(
    blocks: Iterable[Block],
    start: int,
    *,
    name: str,
    pieces: int,
    least: int,
    size: int | None,
    declared: Sequence[str],
) -> Survey:
    """Divides the file into at most `pieces` of at least `least` bytes, if its `size` is known. Looks for keys until
    all `declared` ones were seen; in the whole file if none are declared. Raises SourceError."""
    found, look, encoding = Survey(), Objects(), _Encoding()
    each = max(least, -(-(size - start) // pieces)) if size is not None else None
    keys: dict[str, None] = {}
    wanted = set(declared)
    cut, cut_rows, end_offset = start, 0, start
    for block in blocks:
        if not found.rows or not declared or not wanted <= keys.keys():
            rows = look.rows(block)
            _check(rows, found.rows, name)
            encoding.feed(block, rows.faulty, found.rows)
            keys |= dict.fromkeys(chain.from_iterable(rows.sound))
            if not declared and len(keys) > MOST_COLUMNS:
                raise SourceError(
                    "too_many_columns",
                    f"{name} has more than {MOST_COLUMNS:,} different keys: no table has so many columns.",
                    "Declare `fields` on the source node.",
                )
            found.samples += _some(rows.sound, _SAMPLED if not found.rows else _SAMPLED_EACH)
        else:
            found.complete = False
        found.rows += block.rows
        end_offset = block.end_offset
        if each is not None and end_offset - cut >= each and len(found.slices) < pieces - 1:
            found.slices.append(Slice(cut, end_offset, found.rows - cut_rows))
            cut, cut_rows = end_offset, found.rows
    if found.rows > cut_rows or not found.slices:
        found.slices.append(Slice(cut, end_offset, found.rows - cut_rows))
    encoding.check(found.rows, name)
    found.keys = list(keys)
    return found


def _some(rows: Sequence[dict[str, msgspec.Raw]], most: int) -> list[dict[str, msgspec.Raw]]:
    """At most `most` rows: the first ones, and others from everywhere. (With an odd step, in case even and odd rows
    differ.)"""
    head, rest = list(rows[: most // 2]), rows[most // 2 :]
    step = -(-len(rest) // (most // 2)) | 1
    return [*head, *rest[::step], *rest[-1:]]


def _check(rows: Rows[dict[str, msgspec.Raw]], before: int, name: str) -> None:
    if rows.faulty and not rows.sound and not before and rows.faulty[0].rule != "encoding":
        message = f"{name} holds no objects of JSON, from its first record on: {rows.faulty[0].error}."
        hint = "For an array of objects set format to json; for other files set it to what they are."
        raise SourceError("not_json", message, hint)


class _Encoding:
    """Distinguishes a file in another encoding from one with a few broken rows."""

    def __init__(self) -> None:
        self._bad = 0
        self._first: tuple[int, Faulty] | None = None
        self._other_alphabets = False

    def feed(self, block: Block, faulty: Sequence[Faulty], before: int) -> None:
        if block.text.isascii():
            return
        self._other_alphabets |= not block.text.decode(errors="ignore").isascii()
        bad = [each for each in faulty if each.rule == "encoding"]
        self._bad += len(bad)
        if bad and self._first is None:
            self._first = before + bad[0].index + 1, bad[0]

    def check(self, rows: int, name: str) -> None:
        if self._first is None or self._other_alphabets or self._bad * _WRONG_ENCODING <= rows:
            return
        row, first = self._first
        at = invalid_offsets(first.text)[0]
        raise SourceError(
            "bad_encoding",
            f"{name} is not valid UTF-8: byte 0x{first.text[at]:02X} in row {row}.",
            "Set options.encoding to the file's encoding, for example latin-1 or cp1252.",
        )


def fields_of(found: Survey, names: dict[str, str], *, whole: bool = False) -> tuple[list[Field], frozenset[str]]:
    """The columns (by key and name), and those whose type is inferred from samples."""
    fields, guessed = [], []
    for key, name in names.items():
        values = cells(name, [row.get(key, NULL) for row in found.samples], whole=whole)
        there = values.first[values.text.is_not_null().to_numpy()]
        if len(there) and np.isin(there, NESTED).all():
            fields.append(Field(name, "json"))
            continue
        guessed.append(name)
        fields.append(_field(values.text, there))
    return fields, frozenset(guessed)


def _field(values: pl.Series, first: Bytes) -> Field:
    field = infer_field(values, complete=False)
    if (first == QUOTE).any() and field.data_type in _NOT_OF_TEXTS:
        return Field(field.name, "text")
    return field
