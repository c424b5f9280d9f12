"""The errors of sources and targets that are meant for people: what is wrong, where, and how to correct it."""

from __future__ import annotations

from headrace._picklable import PicklableError


class SourceError(PicklableError):
    """The source cannot be read at all (missing, empty, undecodable, changed). The text is meant for a person.

    `code` is stable (`file_not_found`, `empty_file`, `bad_encoding`, `source_changed`, ...), `hint` says the mend.
    """

    file: str | None = None
    """The one file that cannot be read, by the name it arrived under, where it is a file's fault."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.code, self.message, self.hint = code, message, hint


class TargetError(PicklableError):
    """The target cannot take the load at all (no such table, missing column, ...). Same fields as SourceError."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(f"{message} {hint}".strip())
        self.code, self.message, self.hint = code, message, hint
