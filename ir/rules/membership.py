"""`in`, `not_in`: membership in a list of literals."""

from __future__ import annotations

from dataclasses import dataclass

from ir.rules.base import list_argument


@dataclass(frozen=True, slots=True)
class Member:
    """The value is (or, `negated`, is not) one of the literals, each read as the field's type says."""

    literals: tuple[str, ...]
    negated: bool


def is_in(args: str | None) -> Member:
    """`in:a,b,c`"""
    return Member(list_argument("in", args, "a,b,c"), negated=False)


def not_in(args: str | None) -> Member:
    """`not_in:a,b,c`"""
    return Member(list_argument("not_in", args, "a,b,c"), negated=True)
