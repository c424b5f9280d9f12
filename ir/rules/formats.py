"""`email url uuid`: well-known text formats, each a pattern with a message of its own."""

from __future__ import annotations

from collections.abc import Callable

from ir.rules.base import no_arguments
from ir.rules.text import Matches

PATTERNS: dict[str, tuple[str, str]] = {
    # The HTML standard's e-mail pattern, with at least one dot in the domain.
    "email": (
        r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
        r"(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$",
        "Invalid email format",
    ),
    "url": (r"^(?i:https?)://[^\s/?#]+(?:[/?#]\S*)?$", "Invalid URL format"),
    "uuid": (r"^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$", "Invalid UUID format"),
}


def format_rule(name: str) -> Callable[[str | None], Matches]:
    """The parser of one format rule."""

    def parse(args: str | None) -> Matches:
        no_arguments(name, args)
        return Matches(*PATTERNS[name])

    return parse
