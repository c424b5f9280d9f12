"""Snowflake's identifiers: without quotes they are upper case, in quotes they are as written."""

from __future__ import annotations

import re
from collections.abc import Sequence

from headrace.connectors.sql.relation import TableName

_PART = r'"(?:[^"\0]|"")+"|[^".\0]+'
_NAME = re.compile(rf"\s*(?:{_PART})(?:\.(?:{_PART})){{0,2}}\s*")
_PLAIN = re.compile(r"[A-Z_][A-Z0-9_$]*")


def folded(text: str) -> str:
    """The stored name of an identifier: `customers` is CUSTOMERS, and `"customers"` in quotes is customers."""
    text = text.strip()
    if len(text) > 2 and text.startswith('"') and text.endswith('"'):
        return text[1:-1].replace('""', '"')
    return text.upper()


def parts(text: str) -> TableName | None:
    """Parses a name of one to three parts into stored names; None if it is invalid."""
    if not _NAME.fullmatch(text):
        return None
    return tuple(folded(part) for part in re.findall(_PART, text.strip()))


def quoted(name: str) -> str:
    """A stored name in quotes, which keeps it unchanged."""
    return '"' + name.replace('"', '""') + '"'


def written(name: Sequence[str]) -> str:
    """The displayed form of stored names: quoted only where needed."""
    return ".".join(part if _PLAIN.fullmatch(part) else quoted(part) for part in name)


def text_literal(text: str) -> str:
    """A text in quotes. A backslash is an escape in Snowflake's."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
