"""The problems of a document that is typed, beside its text: shared by the editors of pipelines and replications."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Form

from headrace.api.console.document_text import MAX_CHARACTERS, MAX_LIVE_CHARACTERS, TypedDocument
from headrace.api.errors import ApiError, Detail
from headrace.ir.diff import Change
from headrace.ir.parsing.storable_text import unstorable_texts
from headrace.ir.problems import MAX_PROBLEMS, Problem

Text = Annotated[str, Form(max_length=2 * MAX_CHARACTERS)]
"""Twice as long as what is read: a text that is too long is a problem that the page shows, with the text."""


@dataclass(frozen=True, slots=True)
class ShownProblem:
    """A problem, the line that it is at, and what it means: `bad` refuses a save, `amber` warns, `asks` needs a
    confirmation."""

    line: int | None
    path: str
    message: str
    hint: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Checked:
    """A text that was checked: its problems in the order of its lines, and what differs from the stored document."""

    problems: Sequence[ShownProblem]
    changes: Sequence[Change] | None = None
    columns: Mapping[str, Sequence[str]] | None = None

    def count(self, meaning: str) -> int:
        """How many problems mean that."""
        return sum(each.meaning == meaning for each in self.problems)


def too_long_to_check(text: str, *, now: bool) -> bool:
    """Whether a text is only checked when somebody asks for it, and nobody does `now`."""
    return len(text) > MAX_LIVE_CHARACTERS and not now


def unreadable(given: TypedDocument) -> Checked | None:
    """The problems of a text that is no document, or that cannot be stored; None for any other."""
    if given.document is None:
        fault = given.fault
        assert fault is not None
        return Checked([ShownProblem(given.lines.get(""), "", fault.message, fault.hint, "bad")])
    found = [Detail.model_validate(each.as_dict()) for each in _unstorable(given.document)]
    return Checked(shown(given, [("bad", found)])) if found else None


def shown(given: TypedDocument, groups: Iterable[tuple[str, Sequence[Detail | Problem]]]) -> list[ShownProblem]:
    """Problems by their meaning, in the order of the lines that they are at."""
    found = [
        ShownProblem(given.line_of(each.path), each.path, each.message, each.hint, meaning)
        for meaning, some in groups
        for each in some
    ]
    return sorted(found[:MAX_PROBLEMS], key=lambda each: each.line or 0)


def refuse_unstorable(document: Mapping[str, Any]) -> None:
    """Raises ApiError 400 for a document with texts that PostgreSQL cannot store."""
    if found := _unstorable(document):
        raise ApiError(400, found[0].message, details=found)


def _unstorable(document: Mapping[str, Any]) -> list[Problem]:
    return list(_first(unstorable_texts(document)))


def _first(problems: Iterable[Problem]) -> Iterator[Problem]:
    for each, _ in zip(problems, range(MAX_PROBLEMS), strict=False):
        yield each
