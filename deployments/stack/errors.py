"""The one error the stack raises for everything a person can mend: a port in use, a part that did not start, ..."""

from __future__ import annotations


class StackError(Exception):
    """Something the user can act on. `message` says what happened, `hint` what to do (may be empty)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.message, self.hint = message, hint
