"""BigQuery's identifiers: `project.dataset.table`, each part taken literally."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headrace.connectors.sql.relation import TableName, table_name

_DOMAIN = re.compile(r"(?P<domain>[a-z0-9-]+(?:\.[a-z0-9-]+)+:[a-z0-9-]+)\.(?P<rest>.+)")
_FORBIDDEN = re.compile(r"[`\\/*$@:\x00-\x1f\x7f]")
_DATASET = re.compile(r"[A-Za-z0-9_-]{1,1024}")
_PROJECT = re.compile(r"(?:[a-z0-9-]+(?:\.[a-z0-9-]+)+:)?[a-zA-Z0-9-]{1,63}")
_PLAIN = re.compile(r"[^\s.\"`]+")
_ESCAPES = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def parts(text: str) -> TableName | None:
    """Parses a name of one to three parts, with or without backticks around it or its parts; None if it is invalid."""
    text = text.strip()
    if re.fullmatch(r"`[^`]+`", text):
        text = text[1:-1]
    if (domain := _DOMAIN.fullmatch(text)) is not None:  # example.com:project.dataset.table
        text = f'"{domain["domain"]}".{domain["rest"]}'
    found = table_name(text)
    if found is None:
        return None
    bare = tuple(part.strip().removeprefix("`").removesuffix("`") for part in found)
    *before, table = bare
    if not table or _FORBIDDEN.search(table) or not all(before):
        return None
    if before and not _DATASET.fullmatch(before[-1]):
        return None
    return bare if len(before) < 2 or _PROJECT.fullmatch(before[0]) else None


def quoted(name: str) -> str:
    """One identifier in backticks."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def written(name: Sequence[str]) -> str:
    """The displayed name: parts are quoted only where needed."""
    return ".".join(part if _PLAIN.fullmatch(part) else f'"{part}"' for part in name)


def text_literal(text: str) -> str:
    """A text in quotes."""
    return "'" + "".join(_ESCAPES.get(each) or _shown(each) for each in text) + "'"


def _shown(character: str) -> str:
    return character if character.isprintable() else f"\\U{ord(character):08x}"
