"""ANALYZE, VACUUM and REFRESH MATERIALIZED VIEW, each parsed by one pattern."""

from __future__ import annotations

import re
from collections.abc import Callable

from headrace.ir.problems import fault
from headrace.ir.statements.base import ALLOWED, LOADED_TABLE, AdminStatement, folded, quoted, table_reference

_ID = r'(?:"[A-Za-z0-9_$]{1,63}"|[A-Za-z_][A-Za-z0-9_$]{0,62})'
_TABLE = rf"(?:(?P<schema>{_ID})\s*\.\s*)?(?P<name>{_ID}|\{{table\}})"
_COLUMNS = rf"(?:\s*\((?P<columns>\s*{_ID}(?:\s*,\s*{_ID})*\s*)\))?"
_OPTION = r"(?:ANALYZE|VERBOSE|FREEZE|SKIP_LOCKED)"

_ANALYZE = re.compile(rf"ANALYZE(?:\s+VERBOSE)?\s+{_TABLE}{_COLUMNS}", re.IGNORECASE | re.ASCII)
_VACUUM = re.compile(
    rf"VACUUM(?:\s*\((?P<options>\s*{_OPTION}(?:\s*,\s*{_OPTION})*\s*)\)|(?P<words>(?:\s+{_OPTION})*\s))\s*{_TABLE}",
    re.IGNORECASE | re.ASCII,
)
_REFRESH = re.compile(
    rf"REFRESH\s+MATERIALIZED\s+VIEW\s+(?:CONCURRENTLY\s+)?{_TABLE}(?:\s+WITH\s+DATA)?", re.IGNORECASE | re.ASCII
)


def analyze(text: str) -> AdminStatement:
    """`ANALYZE table [(columns)]`."""
    match = _matched(_ANALYZE, text, "ANALYZE table (column, ...)")
    table = _table(match)
    names = [folded(name.strip()) for name in (match["columns"] or "").split(",") if name.strip()]
    columns = " ({})".format(", ".join(f'"{name}"' for name in names)) if names else ""
    return AdminStatement("analyze", frozenset({table}), lambda loaded: f"ANALYZE {_put(table, loaded)}{columns}")


def vacuum(text: str) -> AdminStatement:
    """`VACUUM [(ANALYZE, FREEZE, SKIP_LOCKED)] table`. FULL is not allowed, because it blocks readers."""
    match = _matched(_VACUUM, text, "VACUUM (ANALYZE, FREEZE) table; FULL would block readers")
    table = _table(match)
    words = re.findall(r"\w+", match["options"] or match["words"] or "")
    options = " ({})".format(", ".join(word.upper() for word in words)) if words else ""
    return AdminStatement(
        "vacuum", frozenset({table}), lambda loaded: f"VACUUM{options} {_put(table, loaded)}", alone=True
    )


def refresh(text: str) -> AdminStatement:
    """`REFRESH MATERIALIZED VIEW [CONCURRENTLY] view`; whether it is concurrent is decided when it runs."""
    match = _matched(_REFRESH, text, "REFRESH MATERIALIZED VIEW view")
    view = _table(match)
    if view == LOADED_TABLE:
        raise fault("forbidden_table", "The loaded table is not a materialized view", "name the view")
    return AdminStatement("refresh", frozenset(), lambda _: f"REFRESH MATERIALIZED VIEW {quoted(view)}", view=view)


MAINTENANCE: dict[str, Callable[[str], AdminStatement]] = {
    "ANALYZE": analyze,
    "ANALYSE": lambda text: analyze("ANALYZE" + text[7:]),
    "VACUUM": vacuum,
    "REFRESH": refresh,
}
"""Parsers by the first word of the statement."""


def _matched(pattern: re.Pattern[str], text: str, form: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise fault("unreadable_statement", f"The statement is not of the form {form}", ALLOWED)
    return match


def _table(match: re.Match[str]) -> str:
    if match["name"] == LOADED_TABLE and match["schema"] is not None:
        raise fault("forbidden_table", f"{LOADED_TABLE} means schema and table", f"write {LOADED_TABLE} alone")
    return table_reference(folded(match["schema"]) if match["schema"] else None, folded(match["name"]))


def _put(table: str, loaded: str) -> str:
    return quoted(loaded if table == LOADED_TABLE else table)
