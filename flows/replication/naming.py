"""The names of targets: the schema of a table, and the columns of its table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from headrace.catalog.schemas.ddl import MAX_IDENTIFIER_BYTES, field_problems
from headrace.catalog.schemas.names import FieldDefinition, sanitised
from headrace.connectors.sql.relation import table_name
from headrace.flows.replication.found import FoundTable

_MAX_PIPELINE_CHARS = 200
_DIGITS = 8


def parts_of(table: FoundTable) -> dict[str, str]:
    """Database, schema and table of the source; empty where the source has none."""
    named = table.settings.get("table")
    parts = (table_name(named) if isinstance(named, str) else None) or tuple(table.name.rsplit(".", 1))
    database, schema, own = ("", "", *parts)[-3:]
    return {"database": database, "schema": schema, "table": own}


def schema_name(template: str, table: FoundTable, replication: str) -> str:
    """The name of the schema that a table is loaded into, from the template of its settings; empty where no letter and
    no digit is left."""
    text = template
    for name, value in {**parts_of(table), "replication": replication}.items():
        text = text.replace(f"{{{name}}}", value.replace("{", " "))
    return sanitised(text)


def pipeline_name(replication: str, table: str) -> str:
    """The name of a table's pipeline, in one line and at most 200 characters."""
    line = "".join(letter if letter.isprintable() else " " for letter in f"{replication}: {table}").strip()
    if len(line) <= _MAX_PIPELINE_CHARS and line == f"{replication}: {table}":
        return line
    return f"{line[: _MAX_PIPELINE_CHARS - _DIGITS - 1]}~{_digest(table)}"


def column_names(names: Iterable[str], kept: Mapping[str, str]) -> dict[str, str]:
    """Column of the source → column of the table. Valid names are not changed; `kept` are the names of existing
    columns. Names that differ only in case are numbered."""
    found = dict(kept)
    taken = {each.lower() for each in kept.values()}
    for name in names:
        if name in found:
            continue
        plain = name if _usable(name) else _plain(name)
        candidate, number = plain, 1
        while candidate.lower() in taken or not _usable(candidate):
            number += 1
            candidate = f"{_cut(plain, len(str(number)) + 1)}_{number}"
        taken.add(candidate.lower())
        found[name] = candidate
    return found


def _usable(name: str) -> bool:
    return not name.startswith("__") and not field_problems(FieldDefinition(name, name, "text"))


def _plain(name: str) -> str:
    text = "".join(letter if letter.isalnum() or letter == "_" else "_" for letter in name).strip("_") or "column"
    if text[0].isdigit() or text.lower().startswith("headrace"):
        text = f"c_{text}"
    return _cut(text, 0)


def _cut(name: str, room: int) -> str:
    """The name, with bytes left for `room` characters more."""
    return name.encode()[: MAX_IDENTIFIER_BYTES - room].decode(errors="ignore")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
