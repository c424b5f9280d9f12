"""`date`: the text is a date in a given format."""

from __future__ import annotations

from dataclasses import dataclass

from ir.problems import fault


@dataclass(frozen=True, slots=True)
class IsDate:
    """The text is a date as the strptime-like `format` says, ISO 8601 without one."""

    format: str | None = None


def date(args: str | None) -> IsDate:
    """`date` or `date:%d.%m.%Y`"""
    if args is None:
        return IsDate()
    if "%" not in args:
        raise fault("rule_arguments", f"'{args}' is not a date format", "for example 'date:%d.%m.%Y'")
    return IsDate(args)
