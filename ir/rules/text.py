"""`regex min_length max_length starts_with ends_with`: the shape of a text."""

from __future__ import annotations

from dataclasses import dataclass

from ir.rules.base import count_argument, one_argument


@dataclass(frozen=True, slots=True)
class Matches:
    """The text holds a match of the pattern (Rust regex syntax). `message` replaces the usual one."""

    pattern: str
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Length:
    """The number of characters is at least `minimum` and at most `maximum`, where given."""

    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class Affix:
    """The text begins with `prefix` and ends with `suffix`, where given."""

    prefix: str | None = None
    suffix: str | None = None


def regex(args: str | None) -> Matches:
    """`regex:pattern`"""
    return Matches(one_argument("regex", args, "^[A-Z]{2}$"))


def min_length(args: str | None) -> Length:
    """`min_length:n`"""
    return Length(minimum=count_argument("min_length", args, "2"))


def max_length(args: str | None) -> Length:
    """`max_length:n`"""
    return Length(maximum=count_argument("max_length", args, "10"))


def starts_with(args: str | None) -> Affix:
    """`starts_with:text`"""
    return Affix(prefix=one_argument("starts_with", args, "N"))


def ends_with(args: str | None) -> Affix:
    """`ends_with:text`"""
    return Affix(suffix=one_argument("ends_with", args, ".com"))
