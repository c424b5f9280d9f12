"""`unique`: no two rows have the same value."""

from __future__ import annotations

from dataclasses import dataclass

from ir.rules.base import no_arguments


@dataclass(frozen=True, slots=True)
class Unique:
    """The value is in no earlier row of the source."""


def unique(args: str | None) -> Unique:
    """`unique`"""
    no_arguments("unique", args)
    return Unique()
