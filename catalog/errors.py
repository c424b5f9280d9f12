"""What the catalog refuses, as exceptions with a text for a person."""

from __future__ import annotations

from collections.abc import Sequence

from ir.problems import Problem


class Conflict(Exception):
    """The change contradicts what is stored (a name that is taken)."""


class Invalid(Exception):
    """The object cannot be stored as asked; `problems` say where and why."""

    def __init__(self, message: str, problems: Sequence[Problem]) -> None:
        super().__init__(message)
        self.problems = list(problems)


class PipelineMissing(LookupError):
    """There is no such pipeline, or no such version of its IR."""


class NoIr(Exception):
    """The pipeline has no IR to run (legacy nodes and edges)."""


class StaleVersion(Conflict):
    """The IR was changed by somebody else since it was read; `newest` is the version there is now (0: none)."""

    def __init__(self, newest: int) -> None:
        super().__init__(f"The IR has changed since: its newest version is {newest}")
        self.newest = newest
