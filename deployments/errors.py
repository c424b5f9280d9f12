"""The base class of errors that a user can act on."""

from __future__ import annotations

from headrace._picklable import PicklableError


class HeadraceError(PicklableError):
    """An error that a user can act on. `message` says what happened, `hint` what to do (may be empty)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.message, self.hint = message, hint
