"""The SQL that a hook may run: a few kinds of statements on the tenant's own tables.

Any other statement is refused. The text itself is never sent to the database: SQL is written from the parsed statement,
so that a statement cannot have another meaning there.
"""

from __future__ import annotations

import re

from headrace.ir.problems import fault
from headrace.ir.statements.base import ALLOWED, LOADED_TABLE, AdminStatement
from headrace.ir.statements.maintenance import MAINTENANCE

__all__ = ["LOADED_TABLE", "MAX_STATEMENT", "AdminStatement", "admin_statement"]

MAX_STATEMENT = 20_000
_FIRST_WORD = re.compile(r"\s*\(*\s*([A-Za-z]+)")


def admin_statement(text: str) -> AdminStatement:
    """Parses a statement. Raises a fault (`forbidden_statement`, `unreadable_statement`, `several_statements`,
    `forbidden_function`, `forbidden_table`, ...) if it is not allowed or cannot be parsed."""
    if "\x00" in text:
        raise fault("unreadable_statement", "The statement contains a NUL character", "remove it")
    text = text.strip().removesuffix(";").strip()
    match = _FIRST_WORD.match(text)
    verb = match.group(1).upper() if match else ""
    if verb in MAINTENANCE:
        return MAINTENANCE[verb](text)
    if verb in ("SELECT", "WITH", "CREATE"):
        from headrace.ir.statements.queries import (  # its parser is slow to load, and rarely needed
            index_statement,
            query,
        )

        return index_statement(text) if verb == "CREATE" else query(text)
    raise fault("forbidden_statement", f"A hook cannot run {verb or 'this'}", ALLOWED)
