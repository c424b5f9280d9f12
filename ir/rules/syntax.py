"""The text form of row rules: parses arguments, and describes each rule for editors and the reference."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from io import StringIO

from headrace.ir.problems import fault
from headrace.ir.schema import DATA_TYPES

_COUNT_DIGITS, _SHOWN = 9, 60


def no_arguments(name: str, args: str | None) -> None:
    """Raises a fault if a rule without arguments has some."""
    if args is not None:
        raise fault("rule_arguments", f"'{name}' takes no arguments", f"write '{name}'")


def one_argument(name: str, args: str | None, example: str) -> str:
    """Returns the text after the colon, which may contain colons and commas. Raises a fault if it is empty."""
    if args is None or not args:
        raise fault("rule_arguments", f"'{name}' needs an argument", f"for example '{name}:{example}'")
    return args


def list_argument(name: str, args: str | None, example: str) -> tuple[str, ...]:
    """Returns the comma-separated values. A value with a comma or a line end is written in double quotes."""
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
    """Returns a non-negative integer of at most nine digits."""
    text = one_argument(name, args, example)
    if not text.strip().isdecimal() or len(text.strip()) > _COUNT_DIGITS:
        text = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
        raise fault("rule_arguments", f"'{name}' needs a whole number, not '{text}'", f"for example '{name}:{example}'")
    return int(text)


@dataclass(frozen=True, slots=True)
class Form:
    """`arguments` is a regular expression, without capturing groups, of the text after the colon; None for a rule
    without arguments. `example` is a whole rule."""

    arguments: str | None
    example: str
    meaning: str
    optional: bool = False

    @property
    def tail(self) -> str:
        """The regular expression of the text after the name."""
        if self.arguments is None:
            return ""
        return f"(?::{self.arguments})?" if self.optional else f":{self.arguments}"


# They match whatever the parser accepts; the parser is stricter.
_ANY = r"[\s\S]+"
_WHOLE = r"\s*\d+\s*"

FORMS: dict[str, Form] = {
    "not_null": Form(None, "not_null", "There is a value."),
    "not_empty": Form(None, "not_empty", "There is a value, and it is not blank."),
    "unique": Form(None, "unique", "No earlier row of the source has the value."),
    "type": Form(rf"\s*(?:{'|'.join(DATA_TYPES)})\s*", "type:integer", "The value can be read as the data type."),
    "gt": Form(_ANY, "gt:0", "Greater than the literal, which is read as the field's type."),
    "gte": Form(_ANY, "gte:0", "At least the literal."),
    "lt": Form(_ANY, "lt:100", "Less than the literal."),
    "lte": Form(_ANY, "lte:100", "At most the literal."),
    "eq": Form(_ANY, "eq:1", "Equal to the literal."),
    "ne": Form(_ANY, "ne:0", "Different from the literal."),
    "between": Form(r"[\s\S]+,[\s\S]*", "between:0,100", "At least the first and at most the second."),
    "in": Form(_ANY, "in:a,b,c", "One of the list; a value with a comma is written in double quotes."),
    "not_in": Form(_ANY, "not_in:a,b,c", "None of the list."),
    "regex": Form(_ANY, "regex:^[A-Z]{2}$", "The text contains a match (Rust syntax)."),
    "email": Form(None, "email", "An e-mail address."),
    "url": Form(None, "url", "A web address."),
    "uuid": Form(None, "uuid", "A UUID."),
    "phone": Form(None, "phone", "A phone number: 7 to 15 digits, with the usual marks."),
    "ip": Form(None, "ip", "An IPv4 or IPv6 address."),
    "date": Form(r"[\s\S]*%[\s\S]*", "date:%d.%m.%Y", "A date in the format, by default ISO 8601.", optional=True),
    "min_length": Form(_WHOLE, "min_length:2", "At least this many characters."),
    "max_length": Form(_WHOLE, "max_length:10", "At most this many characters."),
    "starts_with": Form(_ANY, "starts_with:N", "The text begins with the argument."),
    "ends_with": Form(_ANY, "ends_with:.com", "The text ends with the argument."),
    "exists": Form(r"[\s\S]+\.[\s\S]+", "exists:ds_customers.id", "The value occurs in that column of the table."),
    "expr": Form(_ANY, "expr:departure < arrival", "The SQL condition over the row is true."),
}
"""Text forms by rule name."""


def rule_pattern() -> str:
    """Returns a regular expression (ECMA-262, as in JSON Schema) that matches every rule."""
    every = "|".join(rf"{re.escape(name)}\s*{form.tail}" for name, form in FORMS.items())
    return rf"^\s*(?:{every})$"
