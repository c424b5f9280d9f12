"""Matching of column names: blanks around a name and its case may be ignored."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Sequence
from typing import Literal

_INVISIBLE = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
"""Unicode categories of characters that nobody sees: spaces (also no-break ones), controls such as tabs, and format
characters such as zero-width spaces and byte order marks."""


def canonical_name(name: str) -> str:
    """The name without blanks around it, in Unicode normal form NFC. Blanks are all characters that are not visible."""
    name = unicodedata.normalize("NFC", name)
    if name.isascii():
        return name.strip()
    seen = [place for place, each in enumerate(name) if unicodedata.category(each) not in _INVISIBLE]
    return name[seen[0] : seen[-1] + 1] if seen else ""


def visible(name: str) -> str:
    """The name with `\\u200b` for each character that nobody sees, besides spaces."""
    return "".join(
        f"\\u{ord(each):04x}" if each != " " and unicodedata.category(each) in _INVISIBLE else each for each in name
    )


Matching = Literal["exact", "trim", "caseInsensitive"]
"""What is ignored when names are compared, besides Unicode normalisation: nothing; blanks around them; also case."""


def match_names(wanted: Sequence[str], there: Sequence[str], matching: Matching = "caseInsensitive") -> dict[str, int]:
    """The index in `there` of each wanted name: an exact match, else the only similar name that no other wanted name
    matches."""
    places = {name: place for place, name in enumerate(there)}
    found = {name: places[name] for name in wanted if name in places}
    if matching == "exact":
        return found
    folded_as = _folded if matching == "caseInsensitive" else canonical_name
    taken = set(found.values())
    left: dict[str, list[int]] = {}
    for place, name in enumerate(there):
        if place not in taken:
            left.setdefault(folded_as(name), []).append(place)
    open_names: dict[str, list[str]] = {}
    for name in wanted:
        if name not in found:
            open_names.setdefault(folded_as(name), []).append(name)
    for folded, names in open_names.items():
        if len(names) == 1 and len(left.get(folded, ())) == 1:
            found[names[0]] = left[folded][0]
    return found


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", canonical_name(name).casefold())


def nearest_name(name: str, names: Sequence[str]) -> str:
    """`Did you mean 'x'?` for the most similar name; empty if none is similar."""
    folded = {candidate.lower(): candidate for candidate in names}
    close = difflib.get_close_matches(name.lower(), folded, n=1)
    return f"Did you mean '{folded[close[0]]}'?" if close else ""
