"""The SQL that a hook may run: a short list of statements on the tenant's own tables, judged by parsing.

What is not on the list is refused, whatever it is. The text itself never reaches the database: what was understood is
written anew, so a statement cannot mean one thing here and another there.
"""

from __future__ import annotations

import re

from ir.problems import fault
from ir.statements.base import ALLOWED, LOADED_TABLE, AdminStatement
from ir.statements.maintenance import MAINTENANCE

__all__ = ["LOADED_TABLE", "MAX_STATEMENT", "AdminStatement", "admin_statement"]

MAX_STATEMENT = 20_000
_FIRST_WORD = re.compile(r"\s*\(*\s*([A-Za-z]+)")


def admin_statement(text: str) -> AdminStatement:
    """The statement, understood. Raises a fault (`forbidden_statement`, `unreadable_statement`, `several_statements`,
    `forbidden_function`, `forbidden_table`, ...) for what may not run or cannot be read."""
    if "\x00" in text:
        raise fault("unreadable_statement", "The statement holds a NUL character", "remove it")
    text = text.strip().removesuffix(";").strip()
    match = _FIRST_WORD.match(text)
    verb = match.group(1).upper() if match else ""
    if verb in MAINTENANCE:
        return MAINTENANCE[verb](text)
    if verb in ("SELECT", "WITH", "CREATE"):
        from ir.statements.queries import index_statement, query  # its parser takes a while to load, and few need it

        return index_statement(text) if verb == "CREATE" else query(text)
    raise fault("forbidden_statement", f"A hook cannot run {verb or 'this'}", ALLOWED)
