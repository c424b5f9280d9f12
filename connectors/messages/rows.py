"""Converts messages of one partition to batches: decoded, cast, with metadata; bad messages are kept unchanged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl

from headrace.connectors.casting.columns import MAX_VALUE, cast_columns, cast_native
from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.files.jsontext.reader import cast_json
from headrace.connectors.messages.formats import Layout, Registry, payloads
from headrace.connectors.messages.messages import Decoded, Fault, Messages, Places
from headrace.connectors.messages.settings import MessageSettings
from headrace.connectors.source import DEAD_SCHEMA, REJECT_SCHEMA, ROW, Batch, Position, no_rejects
from headrace.ir.schema import Field, Schema

OPERATION = "op"
"""The column with `u` and `d` if tombstones are deletes, as `cdc_mirror` reads it."""

_KEYS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NO_VALUE = "A tombstone: it has no value; set `tombstones` to delete or null"


class MessageRows:
    """Makes the batches of one partition. `columns` are the columns of the batches, in order."""

    def __init__(
        self,
        settings: MessageSettings,
        found: Layout,
        columns: Schema,
        metadata: Mapping[str, Field],
        registry: Registry | None,
    ) -> None:
        """`metadata` are the columns of metadata, by their names in Messages."""
        self._settings, self._columns = settings, columns
        names = {field.name for field in columns}
        self._fields = tuple(field for field in found.fields if field.name in names)
        self._metadata = {name: field for name, field in metadata.items() if field.name in names}
        self._payloads = payloads(settings, found, self._fields, registry)
        self._cast = cast_native if settings.format in ("avro", "raw") else cast_json

    def batch(self, messages: Messages, first_row: int, rows_done: int, position: Position) -> Batch:
        """The rows of messages after `rows_done` of the partition, whose first row has the number `first_row`."""
        decoded = self._decoded(messages)
        count = len(decoded.of)
        begin = first_row + rows_done
        numbers = pl.Series(begin + decoded.sound)
        raw = decoded.raw.select(field.name for field in self._fields)
        frame, rejects, _ = cast_columns(raw, numbers, self._fields, self._cast)
        kept = frame.get_column(ROW).to_numpy() - begin
        source = pl.Series(decoded.of[kept])
        extra = [
            values.gather(source).cast(polars_dtype(field)).alias(field.name)
            for field, values in self._besides(messages)
        ]
        frame = frame.with_columns(extra).select(*(field.name for field in self._columns), ROW)
        places = messages.places
        if decoded.faults:
            rejects = pl.concat([_rejected(decoded.faults, begin, places, decoded.of), rejects])
            rejects = rejects.sort("row", maintain_order=True)
        return Batch(
            frame,
            count,
            rows_done + count,
            rejects if rejects.height else no_rejects(),
            position,
            locate=lambda rows: places(pl.Series(decoded.of[rows.to_numpy() - begin])),
            dead=_dead(rejects, begin, decoded.of, messages) if rejects.height else None,
        )

    def _decoded(self, messages: Messages) -> Decoded:
        """The records of all messages, in their order: those with a value, tombstones, and those at fault as they
        are."""
        decoded = self._with_values(messages)
        if not messages.faults:
            return decoded
        at = sorted(messages.faults)
        faults = [Fault(place, messages.values[of] or b"", *messages.faults[of]) for place, of in enumerate(at)]
        of: Places = np.array(at, dtype=np.int64)
        return self._merged(decoded, Decoded(self._nulls(0), of, of[:0], faults))

    def _with_values(self, messages: Messages) -> Decoded:
        values, bad = messages.values, messages.faults
        if not bad and None not in values:
            return self._payloads.decode(values)  # type: ignore[arg-type]
        nothing = [place for place, value in enumerate(values) if value is None and place not in bad]
        there = np.delete(np.arange(len(values), dtype=np.int64), [*nothing, *bad])
        some = self._payloads.decode([values[place] or b"" for place in there.tolist()])
        some = Decoded(some.raw, there[some.of], some.sound, some.faults)
        return self._merged(some, self._tombstones(nothing, messages)) if nothing else some

    def _merged(self, some: Decoded, gone: Decoded) -> Decoded:
        # Each record by the message it is of; within one message they stay in their order.
        of = np.concatenate([some.of, gone.of])
        order = np.argsort(of, kind="stable")
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        shift = len(some.of)
        sound = np.concatenate([rank[some.sound], rank[gone.sound + shift]])
        by_row = np.argsort(sound, kind="stable")
        raw = _stacked(some.raw.select(f.name for f in self._fields), gone.raw)[by_row]
        faults = [Fault(int(rank[each.row]), each.text, each.error, each.rule) for each in some.faults]
        faults += [Fault(int(rank[each.row + shift]), each.text, each.error, each.rule) for each in gone.faults]
        return Decoded(raw, of[order], sound[by_row], faults)

    def _tombstones(self, at: Sequence[int], messages: Messages) -> Decoded:
        """A row for each tombstone, with its key if deletes are wanted."""
        of: Places = np.array(at, dtype=np.int64)
        everyone = np.arange(len(at), dtype=np.int64)
        if self._settings.tombstones == "error":
            faults = [Fault(place, b"", _NO_VALUE, "tombstone") for place in range(len(at))]
            return Decoded(self._nulls(0), of, everyone[:0], faults)
        if self._settings.tombstones == "null":
            return Decoded(self._nulls(len(at)), of, everyone)
        keys = [_key_of(messages.keys[place], self._settings) for place in at]
        faults = [Fault(place, b"", key, "key") for place, key in enumerate(keys) if isinstance(key, str)]
        sound = np.array([place for place, key in enumerate(keys) if not isinstance(key, str)], dtype=np.int64)
        given = [key for key in keys if not isinstance(key, str)]
        raw = self._nulls(len(given)).with_columns(
            pl.Series(name, [key[name] for key in given], dtype=pl.String)
            for name in (self._settings.key.columns if self._settings.key else ())
            if any(field.name == name for field in self._fields)
        )
        return Decoded(raw, of, sound, faults)

    def _nulls(self, count: int) -> pl.DataFrame:
        return pl.DataFrame({field.name: pl.Series([None] * count, dtype=pl.String) for field in self._fields})

    def _besides(self, messages: Messages) -> list[tuple[Field, pl.Series]]:
        """The columns that do not come from payloads."""
        found = [(field, messages.metadata[name]) for name, field in self._metadata.items()]
        if any(field.name == OPERATION for field in self._columns) and self._settings.tombstones == "delete":
            gone = pl.Series([value is None for value in messages.values], dtype=pl.Boolean)
            operation = gone.to_frame("g").select(pl.when("g").then(pl.lit("d")).otherwise(pl.lit("u")).alias("o"))
            found.append((Field(OPERATION, "text"), operation.to_series()))
        return found


def _key_of(key: bytes | None, settings: MessageSettings) -> dict[str, str | None] | str:
    """The key's columns, or its errors."""
    assert settings.key is not None
    if key is None:
        return "A delete without a key"
    try:
        if settings.key.format == "text":
            return {settings.key.columns[0]: key.decode()}
        found = _KEYS.decode(key)
        values = {name: found[name] for name in settings.key.columns}
        return {name: _text(value) for name, value in values.items()}
    except KeyError as error:
        return f"The key has no {error}"
    except (UnicodeDecodeError, msgspec.MsgspecError, RecursionError):
        return "The key does not match key.format"


def _text(value: Any) -> str | None:
    """A JSON value as a cell: a string without its quotes, anything else unchanged."""
    written = bytes(value)
    if written == b"null":
        return None
    return str(msgspec.json.decode(written)) if written[:1] == b'"' else written.decode()


def _stacked(one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """Rows of payloads, then rows of tombstones, which are texts: typed values become texts if there are both."""
    mixed = [
        pl.col(name).cast(pl.String)
        for name in one.columns
        if one.schema[name] != pl.String and other.get_column(name).null_count() < other.height
    ]
    one = one.with_columns(mixed)
    return pl.concat([one, other.cast(dict(one.schema))])  # type: ignore[arg-type]


def _rejected(
    faults: Sequence[Fault], begin: int, places: Callable[[pl.Series], pl.Series], of: Places
) -> pl.DataFrame:
    """A reject for each invalid record, with its position."""
    where = places(pl.Series([int(of[each.row]) for each in faults], dtype=pl.Int64)).to_list()
    return pl.DataFrame(
        {
            "row": [begin + each.row for each in faults],
            "column": [None] * len(faults),
            "value": [each.text[: 4 * MAX_VALUE].decode("utf-8", "replace")[:MAX_VALUE] for each in faults],
            "error": [f"{place}: {each.error}" for place, each in zip(where, faults, strict=True)],
            "rule": [each.rule for each in faults],
        },
        schema=REJECT_SCHEMA,
    )


def _dead(rejects: pl.DataFrame, begin: int, of: Places, messages: Messages) -> pl.DataFrame:
    """The messages of rejected rows, unchanged."""
    rows = rejects.get_column("row").unique().sort()
    at = [int(each) for each in of[rows.to_numpy() - begin]]
    return pl.DataFrame(
        {
            "row": rows,
            "place": messages.places(pl.Series(at, dtype=pl.Int64)),
            "key": [messages.keys[place] if messages.keys else None for place in at],
            "value": [messages.values[place] for place in at],
        },
        schema=DEAD_SCHEMA,
    )
