"""What is wrong with a document, said so that a person can mend it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_PROBLEMS = 200
"""More than these are cut: nobody mends by page five, and a hostile document must not cost memory."""

_LONGEST_WORD, _MOST_NAMES = 200, 2_000
"""A hint is not worth more work than that."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: where (`nodes[2].ops[0].expression`), a stable code, a sentence, and how to mend it (may be empty)."""

    path: str
    code: str
    message: str
    hint: str = ""

    def as_dict(self) -> dict[str, str]:
        """The shape of `error.details[]` in the REST contract."""
        return asdict(self)


def nearest(word: object, choices: Iterable[str]) -> str:
    """A hint that names the choice closest to `word`, or all of them when none is close; empty without choices."""
    names = sorted(choices)
    if not names:
        return ""
    text = str(word)
    few = len(text) <= _LONGEST_WORD and len(names) <= _MOST_NAMES
    close = get_close_matches(text, names, n=1, cutoff=0.6) if few else []
    return f"did you mean '{close[0]}'?" if close else f"one of: {', '.join(names[:30])}"


def fault(code: str, message: str, hint: str = "") -> PydanticCustomError:
    """An error for validators to raise; `parse_ir` turns it into a Problem at the place of the value."""
    # Braces are pydantic's placeholders, so texts that may hold some travel in the context.
    return PydanticCustomError(code, "{text}", {"text": message, "hint": hint})
