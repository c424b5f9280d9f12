"""Every row rule: `name` or `name:args`, parsed to typed data. One line each in RULES.

What a rule checks stands in `flows.compile.rules`, by the class it parses to.
"""

from __future__ import annotations

from collections.abc import Callable

from ir.problems import fault, nearest
from ir.rules.comparison import Between, Compare, between, compare
from ir.rules.date import IsDate, date
from ir.rules.exists import Exists, exists
from ir.rules.expr import Holds, expr
from ir.rules.formats import format_rule
from ir.rules.kind import OfType, of_type
from ir.rules.membership import Member, is_in, not_in
from ir.rules.presence import Present, not_empty, not_null
from ir.rules.text import Affix, Length, Matches, ends_with, max_length, min_length, regex, starts_with
from ir.rules.unique import Unique, unique

Rule = Present | Unique | Compare | Between | Member | Matches | Length | Affix | OfType | IsDate | Exists | Holds

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
"""Parsers of the arguments, by rule name; each takes the text behind the colon, or None without one."""


def parse_rule(text: str) -> Rule:
    """The rule that `text` names; raises a fault (`unknown_rule`, `rule_arguments`, ...) with a hint."""
    name, colon, args = text.partition(":")
    parser = RULES.get(name.strip())
    if parser is None:
        raise fault("unknown_rule", f"Unknown rule '{name.strip()}'", nearest(name.strip(), RULES))
    return parser(args if colon else None)


__all__ = [
    "RULES", "Affix", "Between", "Compare", "Exists", "Holds", "IsDate", "Length", "Matches", "Member",
    "OfType", "Present", "Rule", "Unique", "parse_rule",
]  # fmt: skip
