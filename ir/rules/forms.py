"""How each row rule is written, and what it says: for editors and the reference. Parsing does not look here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ir.datatypes import DATA_TYPES


@dataclass(frozen=True, slots=True)
class Form:
    """`arguments` is a regular expression (without groups that capture) of what stands behind the colon; None where
    nothing does. `example` is a whole rule."""

    arguments: str | None
    example: str
    meaning: str
    optional: bool = False

    @property
    def tail(self) -> str:
        """The regular expression of what stands behind the name."""
        if self.arguments is None:
            return ""
        return f"(?::{self.arguments})?" if self.optional else f":{self.arguments}"


# Whatever the parser takes must match; it looks closer.
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
    "in": Form(_ANY, "in:a,b,c", "One of the list; a value with a comma stands in double quotes."),
    "not_in": Form(_ANY, "not_in:a,b,c", "None of the list."),
    "regex": Form(_ANY, "regex:^[A-Z]{2}$", "The text holds a match (Rust syntax)."),
    "email": Form(None, "email", "An e-mail address."),
    "url": Form(None, "url", "A web address."),
    "uuid": Form(None, "uuid", "A UUID."),
    "phone": Form(None, "phone", "A phone number: 7 to 15 digits, with the usual marks."),
    "ip": Form(None, "ip", "An IPv4 or IPv6 address."),
    "date": Form(r"[\s\S]*%[\s\S]*", "date:%d.%m.%Y", "A date in the format, ISO 8601 without one.", optional=True),
    "min_length": Form(_WHOLE, "min_length:2", "At least so many characters."),
    "max_length": Form(_WHOLE, "max_length:10", "At most so many characters."),
    "starts_with": Form(_ANY, "starts_with:N", "The text begins so."),
    "ends_with": Form(_ANY, "ends_with:.com", "The text ends so."),
    "exists": Form(r"[\s\S]+\.[\s\S]+", "exists:ds_customers.id", "The value stands in that column of the table."),
    "expr": Form(_ANY, "expr:departure < arrival", "The SQL condition over the row is true."),
}
"""By rule, as RULES."""


def rule_pattern() -> str:
    """The regular expression (ECMA-262, as JSON Schema has them) of every rule."""
    every = "|".join(rf"{re.escape(name)}\s*{form.tail}" for name, form in FORMS.items())
    return rf"^\s*(?:{every})$"
