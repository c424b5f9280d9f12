"""The exceptions of the catalog, with messages for people."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.ir.problems import Problem


class Conflict(Exception):
    """The change conflicts with what is stored (a name that is taken)."""


class LimitReached(Conflict):
    """The tenant has reached a limit."""

    def __init__(self, limit: str, most: int, what: str) -> None:
        super().__init__(f"There are {most} {what}, the limit of HEADRACE_MAX_{limit.upper()}")


class Invalid(Exception):
    """The object is invalid; `problems` say where and why."""

    def __init__(self, message: str, problems: Sequence[Problem]) -> None:
        super().__init__(message)
        self.problems = list(problems)


class PipelineMissing(LookupError):
    """There is no such pipeline, or no such version of its IR."""


class RunMissing(LookupError):
    """There is no such run: it was deleted with its pipeline."""


class NoIr(Exception):
    """The pipeline has no IR to run (legacy nodes and edges)."""


class StaleVersion(Conflict):
    """The IR, or another document, was changed since it was read; `newest` is its newest version (0: none)."""

    def __init__(self, newest: int, what: str = "IR") -> None:
        super().__init__(f"The {what} has changed since: its newest version is {newest}")
        self.newest = newest
