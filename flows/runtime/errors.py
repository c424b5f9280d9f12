"""The errors that end a run, with a text for people."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from headrace._picklable import PicklableError
from headrace.ir import Problem
from headrace.ir.problems import MAX_PROBLEMS


class RunFailed(PicklableError):
    """The run cannot continue. The text is shown to users as the failure reason."""


class PlanFailed(RunFailed):
    """The pipeline cannot be planned; `problems` lists all reasons."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(islice(problems, MAX_PROBLEMS))
        super().__init__("; ".join(_sentence(problem) for problem in self.problems))


class SourceChanged(RunFailed):
    """A resumed run meets another source than the one it began with."""


def _sentence(problem: Problem) -> str:
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{problem.path}: {problem.message}{hint}"
