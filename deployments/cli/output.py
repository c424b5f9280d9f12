"""The output of commands: text, tables or JSON on stdout; errors and notes on stderr."""

from __future__ import annotations

import json
import sys
from typing import Any, NoReturn

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from headrace.deployments.errors import HeadraceError

EXIT_ATTENTION = 3
"""The exit code of a success that needs attention: a dry run that found changes, a run with rejected rows."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

_WIDE = 200


def say(text: str, style: str = "") -> None:
    """Prints a line on stdout."""
    out.print(escape(text), style=style or None)


def note(text: str) -> None:
    """Prints a line on stderr."""
    err.print(escape(text), style="dim")


def emit(document: Any) -> None:
    """Prints a JSON value on one line of stdout."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def show(table: Table) -> None:
    """Prints a table; without a terminal, up to 200 columns wide."""
    (out if out.is_terminal else Console(width=_WIDE, highlight=False)).print(table)


def grid(*columns: str) -> Table:
    """A table without borders, so that programs can split its columns."""
    return Table(*columns, box=None, pad_edge=False)


def cell(value: object) -> str:
    """The text of a value in a table: as in JSON, but integers with commas, texts without quotes, and `-` for null."""
    if value is None:
        return "-"
    if isinstance(value, bool | dict | list):
        return escape(json.dumps(value, ensure_ascii=False))
    return f"{value:,}" if isinstance(value, int) else escape(str(value))


def print_error(error: HeadraceError, *, as_json: bool) -> None:
    """Prints an error on stderr."""
    if as_json:
        problems = [each.as_dict() for each in getattr(error, "problems", ())]
        body = {"error": {"message": error.message, "hint": error.hint, "details": problems}}
        sys.stderr.write(json.dumps(body, ensure_ascii=False) + "\n")
        return
    err.print(f"[bold red]Error:[/bold red] {escape(error.message)}")
    if error.hint:
        err.print(escape(error.hint))


def fail(message: str, hint: str = "") -> NoReturn:
    """Prints an error on stderr and exits with 1."""
    print_error(HeadraceError(message, hint), as_json=False)
    sys.exit(1)
