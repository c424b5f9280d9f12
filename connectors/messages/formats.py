"""Chooses the columns and the decoder of messages from a node's settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from headrace.connectors.casting.columns import ALWAYS_READABLE
from headrace.connectors.errors import SourceError
from headrace.connectors.files.avro.columns import columns_of
from headrace.connectors.files.delimited.dialect import Dialect, near
from headrace.connectors.files.formats.json_rows import column_names
from headrace.connectors.files.formats.options import null_values_of
from headrace.connectors.files.jsontext.rows import Objects
from headrace.connectors.files.jsontext.survey import fields_of, survey
from headrace.connectors.messages.avro import AvroPayloads, avro_schema
from headrace.connectors.messages.csv import CsvPayloads
from headrace.connectors.messages.json import JsonPayloads, declared_keys
from headrace.connectors.messages.lines import block_of, lines_of
from headrace.connectors.messages.messages import Decoded
from headrace.connectors.messages.raw import COLUMN, RawPayloads
from headrace.connectors.messages.settings import MessageSettings
from headrace.ir.schema import Field, Schema

_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "json": ("nullValues", "registry"),
    "jsonl": ("nullValues",),
    "csv": ("columns", "delimiter", "quote", "nullValues"),
    "avro": ("schema", "registry"),
    "raw": ("encoding",),
}


class Payloads(Protocol):
    """Decodes payloads of one format."""

    def decode(self, values: Sequence[bytes]) -> Decoded:
        """Decodes payloads into records."""


class Registry(Protocol):
    """A schema registry."""

    def schema(self, number: int) -> Any:
        """The schema with that id, as JSON. Raises SourceError."""

    def latest(self, topic: str) -> Any:
        """The latest schema of a topic's values. Raises SourceError."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of payloads. `keys` are the JSON keys of columns with other names; `closed`: the columns are
    inferred, so that a record with other keys is rejected. `schema` is the Avro schema. Contains JSON values only,
    because it is part of a partition's location."""

    fields: Schema
    keys: Mapping[str, str] = field(default_factory=dict)
    closed: bool = False
    schema: Mapping[str, Any] | None = None
    guessed: frozenset[str] = frozenset()
    sure: frozenset[str] = frozenset()


def check_options(settings: MessageSettings) -> None:
    """Validates options. Raises SourceError(`bad_option`) for unknown and invalid ones."""
    form, options = settings.format, settings.options
    for name in options:
        if name not in _OPTIONS[form]:
            hint = near(name, _OPTIONS[form]) or f"It has: {', '.join(_OPTIONS[form])}."
            raise SourceError("bad_option", f"Unknown option '{name}' of {form} messages.", hint)
    if form == "csv":
        names = options.get("columns")
        if names is not None and not (isinstance(names, list) and names and all(isinstance(n, str) for n in names)):
            raise SourceError("bad_option", "options.columns must be the names of a record's columns, in their order.")
        _dialect(options)
    if form == "raw" and options.get("encoding", "utf-8") not in ("utf-8", "base64"):
        raise SourceError("bad_option", "options.encoding of raw messages must be utf-8 or base64.")
    if form == "avro" and "schema" in options:
        columns_of(avro_schema(options["schema"]))
    if form == "avro" and "schema" not in options and not options.get("registry"):
        raise SourceError(
            "bad_option",
            "Avro messages need a schema.",
            "Give options.schema, or options.registry: true and the connector's schemaRegistryUrl.",
        )
    if settings.tombstones == "delete" and settings.key is None:
        raise SourceError("bad_option", "Deletes need the key's columns.", 'Set "key": {"columns": ["id"]}.')
    if settings.key is not None and settings.key.format == "text" and len(settings.key.columns) != 1:
        raise SourceError("bad_option", "A key that is a text is one column.", "Name one, or set key.format to json.")


def layout(
    settings: MessageSettings,
    declared: Schema,
    sample: Callable[[], Sequence[bytes]],
    registry: Registry | None,
    topic: str,
) -> Layout | None:
    """The columns of payloads: declared, else from the schema or from a `sample`; None if unknown. Raises
    SourceError."""
    options = settings.options
    match settings.format:
        case "raw":
            fields = declared or (Field(COLUMN, "text"),)
            if len(fields) != 1:
                raise SourceError("bad_option", "A raw message has one column.", "Declare one field, or use metadata.")
            return Layout(fields, sure=frozenset(each.name for each in fields if each.data_type in ALWAYS_READABLE))
        case "csv":
            names = options.get("columns") or [each.name for each in declared]
            if not names:
                raise SourceError("bad_option", "CSV messages have no header.", "Declare `fields`, or options.columns.")
            fields = declared or tuple(Field(name, "text") for name in names)
            if missing := [each.name for each in fields if each.name not in names]:
                raise SourceError("bad_option", f"'{missing[0]}' is none of options.columns.", near(missing[0], names))
            return _declared(fields)
        case "avro":
            schema = avro_schema(options["schema"] if "schema" in options else _of(registry).latest(topic))
            own = tuple(each.field for each in columns_of(schema))
            fields = declared or own
            names = [each.name for each in own]
            if missing := [each.name for each in fields if each.name not in names]:
                raise SourceError("missing_column", f"The schema has no '{missing[0]}'.", near(missing[0], names))
            sure = frozenset(each.name for each in fields if each in own or each.data_type in ALWAYS_READABLE)
            return Layout(fields, closed=not declared, schema=schema, sure=sure)
        case _:
            return _of_json(settings, declared, sample)


def payloads(settings: MessageSettings, found: Layout, fields: Schema, registry: Registry | None) -> Payloads:
    """The decoder of these fields of the layout."""
    options, nulls = settings.options, null_values_of(settings.options)
    match settings.format:
        case "raw":
            return RawPayloads(found.fields[0].name, base64=options.get("encoding") == "base64")
        case "csv":
            names = tuple(options.get("columns") or [each.name for each in found.fields])
            return CsvPayloads(fields, names, _dialect(options))
        case "avro":
            assert found.schema is not None
            by_id = (lambda number: avro_schema(_of(registry).schema(number))) if options.get("registry") else None
            return AvroPayloads(fields, found.schema, by_id, closed=found.closed)
        case _:
            # A closed object is checked for other keys, so all its keys are read.
            fields = found.fields if found.closed else fields
            keys = {each.name: found.keys.get(each.name, each.name) for each in fields}
            lines, registered = settings.format == "jsonl", bool(options.get("registry"))
            return JsonPayloads(fields, keys, nulls, closed=found.closed, lines=lines, registered=registered)


def _declared(fields: Schema) -> Layout:
    return Layout(fields, sure=frozenset(each.name for each in fields if each.data_type in ALWAYS_READABLE))


def _of_json(settings: MessageSettings, declared: Schema, sample: Callable[[], Sequence[bytes]]) -> Layout | None:
    values = sample()
    if settings.options.get("registry"):
        values = [value[5:] for value in values if value[:1] == b"\0"]
    if settings.format == "jsonl":
        values, _ = lines_of(values)
    if declared and not any(value.lstrip().startswith(b"{") for value in values):
        return _declared(declared)
    values = _sound([value for value in values if value.strip()])
    if not values:
        return _declared(declared) if declared else None
    seen = survey([block_of(values)], 0, name="the messages", pieces=1, least=1, size=None, declared=())
    if declared:
        keys = {name: key for name, key in declared_keys(declared, seen.keys).items() if name != key}
        return Layout(declared, keys, sure=_declared(declared).sure)
    columns = column_names(seen.keys, "the messages")
    fields, guessed = fields_of(seen, columns)
    sure = frozenset(each.name for each in fields if each.data_type in ALWAYS_READABLE)
    keys = {column: key for key, column in columns.items() if column != key}
    return Layout(tuple(fields), keys, closed=True, guessed=guessed, sure=sure)


def _sound(values: Sequence[bytes]) -> Sequence[bytes]:
    """The payloads that are objects; all if none is, so that the error describes them."""
    faulty = {each.index for each in Objects().rows(block_of(values)).faulty} if values else set()
    return [value for place, value in enumerate(values) if place not in faulty] or values


def _of(registry: Registry | None) -> Registry:
    if registry is None:
        raise SourceError(
            "bad_option", "The connector names no schema registry.", "Set schemaRegistryUrl in its config."
        )
    return registry


def _dialect(options: Mapping[str, Any]) -> Dialect:
    chosen = {name: options[name] for name in ("delimiter", "quote", "nullValues") if name in options}
    return Dialect.from_options({**chosen, "header": False}, delimiter=",")
