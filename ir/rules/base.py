"""How a rule's arguments are read from its string form."""

from __future__ import annotations

import csv
from io import StringIO

from ir.problems import fault


def no_arguments(name: str, args: str | None) -> None:
    """Refuses arguments for a rule that takes none."""
    if args is not None:
        raise fault("rule_arguments", f"'{name}' takes no arguments", f"write '{name}'")


def one_argument(name: str, args: str | None, example: str) -> str:
    """The text after the colon, which may itself hold colons and commas; refuses none at all."""
    if args is None or not args:
        raise fault("rule_arguments", f"'{name}' needs an argument", f"for example '{name}:{example}'")
    return args


def list_argument(name: str, args: str | None, example: str) -> tuple[str, ...]:
    """The comma-separated values; a value that holds a comma or a line end is put in double quotes."""
    text = one_argument(name, args, example)
    try:
        records = list(csv.reader(StringIO(text, newline=""), skipinitialspace=True, strict=True))
    except csv.Error:
        records = []
    if len(records) != 1:
        hint = f"for example '{name}:{example}'; put a value with a comma in double quotes, a quote in it twice"
        raise fault("rule_arguments", f"'{text}' is not a list of values", hint)
    return tuple(value.strip() for value in records[0])


def count_argument(name: str, args: str | None, example: str) -> int:
    """A non-negative whole number."""
    text = one_argument(name, args, example)
    if not text.strip().isdecimal():
        raise fault("rule_arguments", f"'{name}' needs a whole number, not '{text}'", f"for example '{name}:{example}'")
    return int(text)
