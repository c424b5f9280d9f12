"""A stream in this process over a shelf that fills: its epochs, its death at any step, and its continuation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from headrace.flows.resume.continuation import Continuation
from headrace.flows.resume.epoch import Epoch
from headrace.flows.resume.stored_plan import StoredPlan
from headrace.flows.runtime.job import Job, Prepared
from headrace.flows.runtime.stored_plan import stored_plan
from headrace.flows.runtime.streaming.stream import StepResult, Stream
from tests.flows.runtime.graphs.world import Mill, Node
from tests.flows.runtime.shelf import Shelf


@dataclass
class Tide:
    """`plan` is what the catalog would have: the plan of the newest epoch."""

    mill: Mill
    nodes: Sequence[Node]
    shelf: Shelf
    options: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, Any] | None = None
    epochs: list[Epoch] = field(default_factory=list)

    @classmethod
    def over(cls, mill: Mill, nodes: Sequence[Node], monkeypatch: pytest.MonkeyPatch, **options: Any) -> Tide:
        shelf = Shelf(cursor=True, **{name: options.pop(name) for name in ("restart", "unreadable") if name in options})
        shelf.put(monkeypatch)
        return cls(mill, nodes, shelf, options)

    def job(self, run_id: str = "run_1", continues: Continuation | None = None) -> Job:
        config = {"mode": "streaming", **self.options.get("config", {})}
        more = {name: value for name, value in self.options.items() if name != "config"}
        return self.mill.job(self.nodes, run_id, continues=continues, **{"batch": 7, **more, "config": config})

    def stream(self, job: Job | None = None) -> Stream:
        """One that begins, or that goes on with the stored plan."""
        return Stream(job or self.job(), self.mill.recorder, self._planned)

    def goes_on(self, run_id: str = "run_2", *, bound: bool = True) -> Stream:
        """A retry of `run_1`."""
        plan = StoredPlan.of(self.plan)
        assert plan is not None
        continues = Continuation(
            root_run_id="run_1", retry_of="run_1", earlier_plan=self.plan if bound else None, epoch=plan.epoch
        )
        return self.stream(self.job(run_id, continues))

    def _planned(self, prepared: Prepared, epoch: Epoch) -> None:
        self.plan = stored_plan(prepared)
        self.epochs.append(epoch)

    def comes(self, first: int, last: int, amount: str = "1") -> None:
        self.shelf.rows |= dict.fromkeys(range(first, last + 1), amount)


def all_of(stream: Stream) -> list[StepResult]:
    """Epochs until there is no news."""
    done = []
    while (step := stream.step()) is not None:
        done.append(step)
    return done


def without(job: Job, **changed: Any) -> Job:
    """The job with another continuation."""
    return replace(job, continues=replace(job.continues, **changed))
