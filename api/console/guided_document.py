"""Writes a pipeline's document from the form of its columns: a source, a target, and a table for it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace.api.connectors.stream_schemas import StreamItem
from headrace.api.console.pipeline import validated
from headrace.api.errors import invalid
from headrace.api.schemas.schemas import CreateSchema, SchemaItem
from headrace.flows.replication.naming import column_names
from headrace.ir.load_modes import LOAD_MODES
from headrace.ir.schema import DATA_TYPES

MODES = {
    "append": ("Add the rows", "every run adds what it reads"),
    "upsert": ("Update by key", "rows with a known key are updated, others are added"),
    "replace": ("Replace all rows", "after a run the table has exactly the rows of the source"),
}
"""The load modes that the form offers, in words; the editor knows all."""
SEPARATORS = {",": "commas", ";": "semicolons", "tab": "tabs", "|": "bars"}
"""What may be between the values of a CSV file, as the option `delimiter` has it, in words."""
MAX_COLUMNS = 400
"""A source with more columns needs a document that is written by hand."""
_SIZED = "decimal"


@dataclass(frozen=True, slots=True)
class ColumnChoice:
    """A column of the source in the form: whether it is loaded, as which type, into which column, and whether that is a
    part of the key."""

    name: str
    data_type: str
    precision: int | None
    scale: int | None
    into: str
    used: bool
    key: bool

    @property
    def type_text(self) -> str:
        """`decimal(10,2)`, `text`."""
        sizes = "" if self.precision is None else f"({self.precision},{self.scale or 0})"
        return f"{self.data_type}{sizes}" if self.data_type == _SIZED else self.data_type


def separated_by(separator: str) -> dict[str, Any]:
    """The settings that read a CSV file with that separator; none for the usual one."""
    return {"options": {"delimiter": separator}} if separator else {}


def likely_separator(stream: StreamItem) -> str:
    """The separator of a CSV file that was read as one column, by what is in the name of that; empty if it has several
    columns, or nothing that may separate."""
    names = [each.name for each in stream.fields or ()]
    if stream.format != "csv" or len(names) != 1:
        return ""
    counts = {separator: names[0].count("\t" if separator == "tab" else separator) for separator in SEPARATORS}
    most = max(counts, key=lambda separator: counts[separator])
    return most if counts[most] else ""


def proposed(stream: StreamItem, schema: SchemaItem | None) -> list[ColumnChoice]:
    """The columns of a stream as the form shows them first: all of them, or those that an existing table has."""
    fields = stream.fields or []
    existing = {} if schema is None else {each.name.lower(): each for each in schema.fields}
    names = column_names([each.name for each in fields], {})
    choices = []
    for each in fields:
        known = existing.get(each.name.lower()) or existing.get(names[each.name].lower())
        into = names[each.name] if schema is None else known.name if known is not None else ""
        key = each.name in stream.key if schema is None else known is not None and known.is_primary_key
        used = schema is None or known is not None
        choices.append(ColumnChoice(each.name, each.data_type, each.precision, each.scale, into, used, key))
    return choices


def chosen_columns(form: Mapping[str, str]) -> list[ColumnChoice]:
    """The columns of a form that was sent: `name.N`, `type.N`, `into.N`, `use.N` and `key.N`. Raises ApiError 400."""
    found = []
    for number in range(MAX_COLUMNS):
        name = form.get(f"name.{number}")
        if name is None:
            break
        given = form.get(f"type.{number}", "text")
        data_type, _, sizes = given.partition("(")
        digits = [each for each in sizes.rstrip(")").split(",") if each]
        if data_type not in DATA_TYPES or not all(each.isascii() and each.isdigit() for each in digits):
            raise invalid(f"type.{number}", "unknown_type", f"'{given[:40]}' is not a type", "choose one of the list")
        precision, scale = (int(digits[0]), int(digits[1])) if len(digits) == 2 else (None, None)
        into = form.get(f"into.{number}", "").strip()
        used, key = f"use.{number}" in form and bool(into), f"key.{number}" in form
        found.append(ColumnChoice(name, data_type, precision, scale, into, used, key))
    if not any(each.used for each in found):
        raise invalid("columns", "no_columns", "No column is chosen", "choose at least one, and name where it goes")
    return found


def settings_in(text: str) -> dict[str, Any]:
    """The source's settings, which the form carries from discovery. Raises ApiError 400."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise invalid("settings", "malformed", "The settings of the source are not an object", "choose it again")
    return found


def document_of(
    name: str,
    reader: str,
    settings: Mapping[str, Any],
    columns: Sequence[ColumnChoice],
    table: str,
    mode: str,
) -> dict[str, Any]:
    """The document. Columns that are not loaded are dropped before the target, so that nothing is left out in silence.
    Raises ApiError 400 for a mode that needs a key without one."""
    used = [each for each in columns if each.used]
    key = [each.into for each in used if each.key]
    if mode not in MODES:
        raise invalid("mode", "unknown_mode", f"'{mode[:40]}' is not a load mode here", "choose one of the list")
    if LOAD_MODES[mode].keyed and not key:
        raise invalid("mode", "missing_key", "Updating by key needs a key", "mark the columns that identify a row")
    source = {
        "id": "source",
        "kind": "source",
        "connector": reader,
        "config": dict(settings),
        "fields": [_declared(each) for each in columns],
    }
    nodes: list[dict[str, Any]] = [source]
    unused = [each.name for each in columns if not each.used]
    if unused:
        drop = {"type": "drop", "fields": unused}
        nodes.append({"id": "columns", "kind": "transform", "input": "source", "ops": [drop]})
    target: dict[str, Any] = {
        "id": "target",
        "kind": "target",
        "input": nodes[-1]["id"],
        "schema": f"public.{table}",
        "loadMode": mode,
    }
    if LOAD_MODES[mode].keyed:
        target["upsertKey"] = key
    if mapping := {each.into: each.name for each in used if each.into != each.name}:
        target["mapping"] = mapping
    nodes.append(target)
    return {"kind": "pipeline", "version": "1.0", "id": name, "metadata": {"name": name}, "nodes": nodes}


def table_for(name: str, columns: Sequence[ColumnChoice]) -> CreateSchema:
    """A new schema with a column for each that is loaded; those of the key are its primary key. Raises ApiError 400."""
    fields = [
        {
            "name": each.into,
            "displayName": each.name[:200].strip() or each.into,
            "dataType": each.data_type,
            "isNullable": not each.key,
            "isPrimaryKey": each.key,
            **({"precision": each.precision, "scale": each.scale} if each.data_type == _SIZED else {}),
        }
        for each in columns
        if each.used
    ]
    body: CreateSchema = validated(CreateSchema, {"name": name, "displayName": name, "fields": fields})
    return body


def _declared(column: ColumnChoice) -> dict[str, Any]:
    sizes = {"precision": column.precision, "scale": column.scale} if column.precision is not None else {}
    return {"name": column.name, "dataType": column.data_type, **(sizes if column.data_type == _SIZED else {})}
