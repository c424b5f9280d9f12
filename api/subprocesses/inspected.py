"""The columns that a plan or a preview found in the sources, returned with its answer, also when it fails.

The answer of the child is a line of JSON, `{"seen": […], "problems": […]}`, and the body of the response.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

from headrace.catalog.found_columns import Seen
from headrace.connectors.source import Discovery
from headrace.flows.runtime.errors import PlanFailed
from headrace.flows.runtime.found_columns import seen_columns
from headrace.flows.runtime.job import Job
from headrace.ir.problems import Problem
from headrace.ir.schema import Field

Found = Callable[[Mapping[str, Discovery]], None]


@dataclass(frozen=True, slots=True)
class Inspected:
    """The columns of the sources, and the body of the response; with `problems` there is none."""

    seen: tuple[Seen, ...]
    problems: tuple[Problem, ...]
    body: bytes

    @classmethod
    def parse(cls, answer: bytes) -> Inspected:
        """Parses the result of `inspected`."""
        head, _, body = answer.partition(b"\n")
        listing = json.loads(head)
        seen = tuple(
            Seen(
                each["node"],
                each["key"],
                tuple(Field(**field) for field in each["columns"]),
                frozenset(each["guessed"]),
            )
            for each in listing["seen"]
        )
        return cls(seen, tuple(Problem(*each) for each in listing["problems"]), body)


def inspected(job: Job, work: Callable[[Found], bytes]) -> bytes:
    """In the child: does the work, which calls its argument with what the sources are; returns the answer."""
    seen: list[Seen] = []

    def found(discoveries: Mapping[str, Discovery]) -> None:
        seen.extend(seen_columns(job.pipeline, discoveries))

    problems: tuple[Problem, ...] = ()
    body = b""
    try:
        body = work(found)
    except PlanFailed as failure:
        problems = failure.problems
    listing = [
        {
            "node": each.node,
            "key": each.key,
            "columns": [asdict(field) for field in each.columns],
            "guessed": sorted(each.guessed),
        }
        for each in seen
    ]
    listed = [[each.path, each.code, each.message, each.hint] for each in problems]
    return json.dumps({"seen": listing, "problems": listed}).encode() + b"\n" + body
