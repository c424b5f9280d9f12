"""The errors of sources and targets that are meant for people: what is wrong, where, and how to correct it."""

from __future__ import annotations

from headrace._picklable import PicklableError


class SourceError(PicklableError):
    """The source cannot be read (missing, empty, undecodable, changed). The message is for people.

    `code` is stable (`file_not_found`, `empty_file`, `bad_encoding`, `source_changed`, ...), `hint` says what to do.
    """

    file: str | None = None
    """The file that cannot be read, by its name on arrival, if a file is the cause."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.code, self.message, self.hint = code, message, hint


class TargetError(PicklableError):
    """The target cannot take the load at all (no such table, missing column, ...). Same fields as SourceError."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.code, self.message, self.hint = code, message, hint
