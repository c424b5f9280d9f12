"""Row rules on text: patterns, lengths, prefixes and suffixes, and well-known formats such as `email`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headrace.ir.rules.syntax import count_argument, no_arguments, one_argument


@dataclass(frozen=True, slots=True)
class Matches:
    """The text contains a match of the pattern (Rust regex syntax). `message` replaces the default error message."""

    pattern: str
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Length:
    """The number of characters is at least `minimum` and at most `maximum`, if given."""

    minimum: int | None = None
    maximum: int | None = None


@dataclass(frozen=True, slots=True)
class Affix:
    """The text begins with `prefix` and ends with `suffix`, if given."""

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


_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_GROUP = "[0-9A-Fa-f]{1,4}"


def _shortened(before: int) -> str:
    """Returns the pattern of IPv6 addresses with `before` groups before the `::`."""
    first = rf"{_GROUP}(?::{_GROUP}){{{before - 1}}}" if before else ""
    last = [rf"{_GROUP}(?::{_GROUP}){{0,{6 - before}}}"] if before < 7 else []
    last += [rf"(?:{_GROUP}:){{0,{5 - before}}}{_IPV4}"] if before < 6 else []
    return f"{first}::" + (f"(?:{'|'.join(last)})?" if last else "")


# RFC 4291, section 2.2: eight groups, the last two possibly as IPv4; `::` once for at least one group of zeros.
_IPV6 = "|".join([rf"(?:{_GROUP}:){{6}}(?:{_GROUP}:{_GROUP}|{_IPV4})", *map(_shortened, range(8))])

PATTERNS: dict[str, tuple[str, str]] = {
    # The HTML standard's e-mail pattern, with at least one dot in the domain.
    "email": (
        r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
        r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$",
        "Invalid email format",
    ),
    "url": (r"^(?i:https?)://[^\s/?#]+(?:[/?#]\S*)?$", "Invalid URL format"),
    "uuid": (r"^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$", "Invalid UUID format"),
    # E.164 has up to 15 digits; they may be separated by blanks, dots, hyphens, slashes and parentheses.
    "phone": (r"^ *(?:\+|\()?(?:[0-9][ ./()-]{0,2}){6,14}[0-9] *$", "Invalid phone number format"),
    "ip": (f"^(?:{_IPV4}|{_IPV6})$", "Invalid IP address format"),
}


def format_rule(name: str) -> Callable[[str | None], Matches]:
    """Returns the parser of one format rule."""

    def parse(args: str | None) -> Matches:
        no_arguments(name, args)
        return Matches(*PATTERNS[name])

    return parse
