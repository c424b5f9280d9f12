"""Problems of a document: path, code, message and hint."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pydantic_core import PydanticCustomError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_PROBLEMS = 200
"""The largest number of reported problems: a hostile document must not cost memory."""

_DELIMITERS = ",;\t|"
_LONGEST_WORD, _MOST_NAMES = 200, 2_000
"""Above these, the nearest name is not searched for: it would take too long."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: its path (`nodes[2].ops[0].expression`), a stable code, a message, and a hint how to fix it (may be
    empty)."""

    path: str
    code: str
    message: str
    hint: str = ""

    def as_dict(self) -> dict[str, str]:
        """Returns the problem as an item of `error.details[]` in the REST API."""
        return asdict(self)


def nearest(word: object, choices: Iterable[str]) -> str:
    """Returns a hint with the choice closest to `word`, or with the first 30 choices if none is close; empty without
    choices."""
    names = sorted(choices)
    if not names:
        return ""
    text = str(word)
    few = len(text) <= _LONGEST_WORD and len(names) <= _MOST_NAMES
    close = get_close_matches(text, names, n=1, cutoff=0.6) if few else []
    return f"did you mean '{close[0]}'?" if close else f"one of: {', '.join(names[:30])}"


def nearest_column(name: str, columns: Iterable[str]) -> str:
    """Returns a hint with the column closest to `name`; where the only one has a delimiter in its name, a hint that the
    source has another delimiter than the one it was read with."""
    names = list(columns)
    mark = next((each for each in _DELIMITERS if each in names[0]), None) if len(names) == 1 else None
    if mark is None:
        return nearest(name, names)
    return f"there is one column, '{names[0][:80]}': if it is a CSV header, set options.delimiter to {json.dumps(mark)}"


def fault(code: str, message: str, hint: str = "") -> PydanticCustomError:
    """Returns an error for validators to raise; `parse_ir` turns it into a Problem at the path of the value."""
    # Braces are placeholders in pydantic's templates, so texts that may have some are passed in the context.
    return PydanticCustomError(code, "{text}", {"text": message, "hint": hint})
