"""Databricks' identifiers and texts: names of `catalog.schema.table` in backticks, texts with backslashes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headrace.connectors.sql.relation import TableName, table_name

_PLAIN = re.compile(r"[A-Za-z0-9_]+")
_WHOLE = re.compile(r"`[^`]+`(?:\.`[^`]+`){0,2}")


def parts(text: str) -> TableName | None:
    """Parses a name of one to three parts, with or without backticks; None if it is invalid."""
    text = text.strip()
    if _WHOLE.fullmatch(text):
        return tuple(re.findall(r"`([^`]+)`", text))
    found = table_name(text)
    return None if found is None or any("`" in part or not part for part in found) else found


def quoted(name: str) -> str:
    """One identifier in backticks."""
    return "`" + name.replace("`", "``") + "`"


def written(name: Sequence[str]) -> str:
    """The displayed name: parts are quoted only where needed."""
    return ".".join(part if _PLAIN.fullmatch(part) else f'"{part}"' for part in name)


def text_literal(text: str) -> str:
    """A text in quotes. A backslash is an escape in Spark's."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
