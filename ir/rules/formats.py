"""`email url uuid phone ip`: well-known text formats, each a pattern with a message of its own."""

from __future__ import annotations

from collections.abc import Callable

from ir.rules.base import no_arguments
from ir.rules.text import Matches

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_GROUP = "[0-9A-Fa-f]{1,4}"


def _shortened(before: int) -> str:
    """An IPv6 address with so many groups before its `::`."""
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
    # E.164 has up to 15 digits; people put blanks, dots, hyphens, slashes and parentheses between them.
    "phone": (r"^ *(?:\+|\()?(?:[0-9][ ./()-]{0,2}){6,14}[0-9] *$", "Invalid phone number format"),
    "ip": (f"^(?:{_IPV4}|{_IPV6})$", "Invalid IP address format"),
}


def format_rule(name: str) -> Callable[[str | None], Matches]:
    """The parser of one format rule."""

    def parse(args: str | None) -> Matches:
        no_arguments(name, args)
        return Matches(*PATTERNS[name])

    return parse
