"""`not_null`, `not_empty`: the only rules that a null does not pass."""

from __future__ import annotations

from dataclasses import dataclass

from ir.rules.base import no_arguments


@dataclass(frozen=True, slots=True)
class Present:
    """The value is there; with `empty_counts`, an empty or blank text counts as missing too."""

    empty_counts: bool


def not_null(args: str | None) -> Present:
    """`not_null`"""
    no_arguments("not_null", args)
    return Present(empty_counts=False)


def not_empty(args: str | None) -> Present:
    """`not_empty`"""
    no_arguments("not_empty", args)
    return Present(empty_counts=True)
