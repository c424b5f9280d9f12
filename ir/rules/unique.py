"""The row rule `unique`: no two rows have the same value."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.ir.rules.syntax import no_arguments


@dataclass(frozen=True, slots=True)
class Unique:
    """No earlier row of the source has the value."""


def unique(args: str | None) -> Unique:
    """`unique`"""
    no_arguments("unique", args)
    return Unique()
