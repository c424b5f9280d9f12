"""The columns of a stream: those of payloads, of what messages have besides, and the one that says what is deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.connectors.datatypes import polars_dtype
from headrace.connectors.errors import SourceError
from headrace.connectors.messages.formats import Layout
from headrace.connectors.messages.rows import OPERATION
from headrace.connectors.messages.settings import MessageSettings
from headrace.connectors.source import ROW, Wanted
from headrace.ir.schema import Field, Schema


def own_columns(settings: MessageSettings, declared: Schema) -> Schema:
    """The declared columns that payloads have."""
    besides = {*settings.metadata.values()} | ({OPERATION} if settings.tombstones == "delete" else set())
    return tuple(field for field in declared if field.name not in besides)


def all_columns(settings: MessageSettings, found: Layout, metadata: Mapping[str, Field], declared: Schema) -> Schema:
    """The columns of payloads and those besides; a declared one has the type that is declared. Raises
    SourceError(`bad_option`, `bad_header`)."""
    own = [*found.fields, *metadata.values()]
    if settings.tombstones == "delete":
        own.append(Field(OPERATION, "text"))
    names = [field.name for field in own]
    types = {field.name: field.data_type for field in own[len(found.fields) :]}
    if wrong := next((each for each in declared if types.get(each.name, each.data_type) != each.data_type), None):
        raise SourceError(
            "bad_option",
            f"The column '{wrong.name}' is {types[wrong.name]}, and is declared as {wrong.data_type}.",
            "Declare it so, and cast it in a transform.",
        )
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise SourceError(
            "bad_header",
            f"Two columns have the name '{twice}'.",
            "Choose another name in `metadata`, or declare `fields`.",
        )
    return tuple(own)


def typed(found: Layout, schema: Schema) -> Layout:
    """The layout with the types that the run reads its columns in."""
    types = {field.name: field for field in schema}
    fields = tuple(types.get(field.name, field) for field in found.fields)
    return Layout(fields, found.keys, found.closed, found.schema, found.guessed, found.sure)


def all_of(schema: Schema, rows: int) -> Wanted:
    """All columns, in batches of so many rows."""
    return Wanted(frozenset(field.name for field in schema), batch_rows=rows)


def dtypes(schema: Schema) -> dict[str, Any]:
    """The polars types of a batch's frame."""
    return {field.name: polars_dtype(field) for field in schema} | {ROW: polars_dtype(Field(ROW, "bigint"))}
