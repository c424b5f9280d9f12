"""What commands print: for people on a terminal, or JSON for programs; problems always on stderr."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deployments.stack.errors import StackError

NOTEWORTHY = 3
"""Exit code of what worked, and wants to be looked at: a dry run that found changes, a run with rejected rows."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

_WIDE = 200


def say(text: str, style: str = "") -> None:
    """A line on stdout."""
    out.print(escape(text), style=style or None)


def note(text: str) -> None:
    """A line on stderr, where it is in no program's way."""
    err.print(escape(text), style="dim")


def emit(document: Any) -> None:
    """A JSON value on one line."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def show(table: Table) -> None:
    """A table; as wide as it needs where there is no terminal to fit it to."""
    (out if out.is_terminal else Console(width=_WIDE, highlight=False)).print(table)


def grid(*columns: str) -> Table:
    """A table without lines, so that its columns can be cut."""
    return Table(*columns, box=None, pad_edge=False)


def cell(value: object) -> str:
    """A value in a table."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else escape(str(value))


def tell(error: StackError, *, as_json: bool) -> None:
    """An error on stderr."""
    if as_json:
        problems = [each.as_dict() for each in getattr(error, "problems", ())]
        body = {"error": {"message": error.message, "hint": error.hint, "details": problems}}
        sys.stderr.write(json.dumps(body, ensure_ascii=False) + "\n")
        return
    err.print(f"[bold red]Error:[/bold red] {escape(error.message)}")
    if error.hint:
        err.print(escape(error.hint))
