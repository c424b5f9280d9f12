"""The row rules: `name` or `name:args`, parsed into dataclasses.

`flows.compile.rules` compiles them.
"""

from __future__ import annotations

from collections.abc import Callable

from headrace.ir.problems import fault, nearest
from headrace.ir.rules.expression import SqlCondition, expr
from headrace.ir.rules.text import (
    Affix,
    Length,
    Matches,
    ends_with,
    format_rule,
    max_length,
    min_length,
    regex,
    starts_with,
)
from headrace.ir.rules.types import IsDate, OfType, date, of_type
from headrace.ir.rules.unique import Unique, unique
from headrace.ir.rules.values import (
    Between,
    Compare,
    Exists,
    Member,
    Present,
    between,
    compare,
    exists,
    is_in,
    not_empty,
    not_in,
    not_null,
)

Rule = (
    Present | Unique | Compare | Between | Member | Matches | Length | Affix | OfType | IsDate | Exists | SqlCondition
)

RULES: dict[str, Callable[[str | None], Rule]] = {
    "not_null": not_null,
    "not_empty": not_empty,
    "unique": unique,
    "type": of_type,
    "gt": compare("gt"),
    "gte": compare("gte"),
    "lt": compare("lt"),
    "lte": compare("lte"),
    "eq": compare("eq"),
    "ne": compare("ne"),
    "between": between,
    "in": is_in,
    "not_in": not_in,
    "regex": regex,
    "email": format_rule("email"),
    "url": format_rule("url"),
    "uuid": format_rule("uuid"),
    "phone": format_rule("phone"),
    "ip": format_rule("ip"),
    "date": date,
    "min_length": min_length,
    "max_length": max_length,
    "starts_with": starts_with,
    "ends_with": ends_with,
    "exists": exists,
    "expr": expr,
}
"""Parsers of the arguments by rule name; each takes the text after the colon, or None without one."""


def parse_rule(text: str) -> Rule:
    """Parses a rule. Raises a fault (`unknown_rule`, `rule_arguments`, ...) with a hint."""
    name, colon, args = text.partition(":")
    parser = RULES.get(name.strip())
    if parser is None:
        raise fault("unknown_rule", f"Unknown rule '{name.strip()}'", nearest(name.strip(), RULES))
    return parser(args if colon else None)


__all__ = [
    "RULES",
    "Affix",
    "Between",
    "Compare",
    "Exists",
    "IsDate",
    "Length",
    "Matches",
    "Member",
    "OfType",
    "Present",
    "Rule",
    "SqlCondition",
    "Unique",
    "parse_rule",
]  # fmt: skip
