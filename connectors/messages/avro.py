"""Payloads that are Avro records without a file's header, of one schema or of the schema that each names by its id.

Many are decoded at once, as one block of a file. So that a damaged one cannot read bytes of the next unnoticed, two
random numbers are written after each as further fields: where both do not come out again, halves are tried until the
damaged ones are found.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from headrace.connectors.casting.columns import cast_native
from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.errors import SourceError
from headrace.connectors.files.avro.columns import Column, columns_of
from headrace.connectors.files.avro.container import written
from headrace.connectors.files.avro.decoding import Decoder
from headrace.connectors.messages.messages import Decoded, Fault, Places
from headrace.ir.schema import Schema

_GUARDS = ("headrace_guard_1", "headrace_guard_2")
_MAGIC = 5
"""The size of the prefix with a record's schema: a zero and the id (Confluent's wire format)."""


def avro_schema(text: Any) -> Mapping[str, Any]:
    """Parses a record's schema from JSON or its text. Raises SourceError(`bad_option`)."""
    try:
        found = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, Mapping) or found.get("type") != "record":
        raise SourceError(
            "bad_option", "The Avro schema is not that of a record.", "Give its JSON: type, name, fields."
        )
    return found


class _Records:
    """Decodes records of one schema, with guard fields."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        guarded = {**schema, "fields": [*schema["fields"], *({"name": each, "type": "long"} for each in _GUARDS)]}
        self.columns: list[Column] = columns_of(guarded)[:-2]
        self._decoder = Decoder(guarded, columns_of(guarded))
        self._defaults = {str(each["name"]): each["default"] for each in schema["fields"] if "default" in each}

    def decode(self, values: Sequence[bytes]) -> tuple[pl.DataFrame, Places, list[Fault]]:
        """The frame of the valid records, their indexes, and the invalid records."""
        guards = (secrets.randbits(62), secrets.randbits(62))
        tail = b"".join(map(written, guards))
        sound: list[pl.DataFrame] = []
        at: list[Places] = []
        faults: list[Fault] = []
        parts = [(0, len(values))] if values else []
        while parts:
            begin, end = parts.pop()
            frame, why = self._some(values[begin:end], tail, guards)
            if frame is not None:
                sound.append(frame)
                at.append(np.arange(begin, end, dtype=np.int64))
            elif end - begin == 1:
                faults.append(Fault(begin, values[begin], f"Not a record of the schema: {why}", "avro"))
            else:
                middle = (begin + end) // 2
                parts += [(middle, end), (begin, middle)]
        empty = pl.DataFrame(schema={each.field.name: polars_dtype(each.field) for each in self.columns})
        places = np.concatenate(at) if at else np.zeros(0, dtype=np.int64)
        return pl.concat(sound, how="vertical_relaxed") if sound else empty, places, faults

    def _some(self, values: Sequence[bytes], tail: bytes, guards: tuple[int, int]) -> tuple[pl.DataFrame | None, str]:
        try:
            frame = self._decoder.frame(b"".join(value + tail for value in values), len(values), 0)
        except SourceError as error:
            return None, error.message.rpartition("read: ")[2].rstrip(".")
        for name, guard in zip(_GUARDS, guards, strict=True):
            if not (frame.get_column(name) == guard).fill_null(value=False).all():
                return None, "it has more or fewer bytes"
        return frame.drop(_GUARDS), ""

    def lacking(self, name: str) -> Any:
        """The value of a column that the writer's schema does not have: the reader schema's default."""
        return self._defaults.get(name)


class AvroPayloads:
    """Decodes records into `schema`. `reader` is the schema of the columns; with `registered` each payload begins with
    the id of its writer schema."""

    def __init__(
        self,
        schema: Schema,
        reader: Mapping[str, Any],
        registered: Callable[[int], Mapping[str, Any]] | None,
        *,
        closed: bool,
    ) -> None:
        self._schema, self._registered, self._closed = schema, registered, closed
        self._reader = _Records(reader)
        self._known: dict[int, _Records] = {}

    def decode(self, values: Sequence[bytes]) -> Decoded:
        """One record for each payload."""
        of: Places = np.arange(len(values), dtype=np.int64)
        if self._registered is None:
            frame, sound, faults = self._reader.decode(values)
            return Decoded(self._as_columns(frame), of, sound, faults)
        faults, groups = [], dict[int, list[int]]()
        for place, value in enumerate(values):
            if len(value) < _MAGIC or value[0] != 0:
                reason = "It does not begin with the id of a schema (Confluent's wire format)"
                faults.append(Fault(place, value, reason, "avro"))
            else:
                groups.setdefault(int.from_bytes(value[1:_MAGIC], "big"), []).append(place)
        frames, places = [self._as_columns(self._reader.decode(())[0])], [np.zeros(0, dtype=np.int64)]
        for number, among in groups.items():
            records = self._records(number)
            there = np.array(among, dtype=np.int64)
            other = {each.field.name for each in records.columns} - {field.name for field in self._schema}
            if self._closed and other:
                reason = f"The field '{min(other)}' is not one of the found columns; declare `fields`"
                faults += [Fault(place, values[place], reason, "unknown_key") for place in among]
                continue
            frame, sound, broken = records.decode([values[place][_MAGIC:] for place in among])
            frames.append(self._as_columns(frame))
            places.append(there[sound])
            faults += [
                Fault(int(there[each.row]), values[int(there[each.row])], each.error, each.rule) for each in broken
            ]
        rows = np.concatenate(places)
        order = np.argsort(rows, kind="stable")
        return Decoded(_together(frames)[order], of, rows[order], faults)

    def _records(self, number: int) -> _Records:
        assert self._registered is not None
        if number not in self._known:
            self._known[number] = _Records(self._registered(number))
        return self._known[number]

    def _as_columns(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The columns of the schema: missing ones with the reader's default; a column that cannot be cast as a whole
        stays unchanged, and its cells are cast one by one."""
        made = []
        for field in self._schema:
            dtype = polars_dtype(field)
            if field.name not in frame.columns:
                given = self._reader.lacking(field.name)
                plain = given if isinstance(given, str | int | float | bool) else None
                value = pl.Series(field.name, [plain] * frame.height).cast(dtype)
            else:
                values = frame.get_column(field.name)
                value, bad = cast_native(values, field)
                if bad is not None:
                    value = values.cast(pl.String, strict=False)
            made.append(value.alias(field.name))
        return pl.DataFrame(made)


def _together(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Concatenates frames; a column of different types becomes text."""
    mixed = [name for name in frames[0].columns if len({frame.schema[name] for frame in frames}) > 1]
    return pl.concat([frame.with_columns(pl.col(name).cast(pl.String) for name in mixed) for frame in frames])
