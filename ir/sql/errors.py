"""The error that the SQL parsers raise."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from headrace._picklable import PicklableError
from headrace.ir.problems import nearest

PAIR = ("__value", "__text")
"""The fields of the structures in which a query takes cells of text files: the value and the text."""
ROW_ONLY = "use only this row's columns and scalar functions"


class Refused(PicklableError):
    """A SQL text is refused: the code, message and hint of a problem."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.message, self.hint = code, message, hint


def unreadable(message: str, hint: str = "") -> Refused:
    """Returns the error for a text that is not an expression."""
    return Refused("invalid_expression", message, hint)


def not_row_local(message: str) -> Refused:
    """Returns the error for an expression that needs more than its row."""
    return Refused("not_row_local", message, ROW_ONLY)


def too_much(message: str, hint: str) -> Refused:
    """Returns the error for an expression that exceeds a bound."""
    return Refused("expression_too_large", message, hint)


def unknown_function(name: str, known: Iterable[str]) -> Refused:
    """Returns the error for an unknown function, with the nearest known name."""
    message = f"There is no function '{name[:60].lower()}' in expressions"
    return unreadable(message, nearest(name.upper(), sorted(known)))


def undecided(why: str, names: Sequence[str]) -> Refused:
    """Returns the error for a query that is not able to return the cells of these columns as written."""
    listed = ", ".join(f"'{name}'" for name in names)
    message = f"It needs values of {listed}, and cannot return the cells as written next to them: {why}"
    return Refused("undecided_cells", message, f"declare the type of {listed} in `fields` of the source")
