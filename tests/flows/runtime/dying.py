"""Runs that die at a chosen step, at every place where state outlives the process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from headrace.flows.runtime.shuffle import writer
from headrace.flows.runtime.staging import files


class Killed(BaseException):
    """The process is gone."""


class Bomb:
    """Raises at the n-th step of a run: before or after a file that is written, a batch that is loaded, a ledger
    that is moved. After that nothing of the attempt gets through any more."""

    def __init__(self, at: int) -> None:
        self._at, self.steps, self.went_off = at, count(), False

    def step(self) -> None:
        if self.went_off or next(self.steps) == self._at:
            self.went_off = True
            raise Killed

    def around(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.step()
            result = work(*args, **kwargs)
            self.step()
            return result

        return watched


@contextmanager
def armed(bomb: Bomb) -> Iterator[None]:
    """The bomb at every place where something outlives the process."""
    from headrace.connectors.postgresql.load import loader, session

    places: list[tuple[Any, str]] = [
        (files.StagingFiles, "write"),
        (files.StagingFiles, "sink"),
        (files.StagingFiles, "append"),
        (session, "advance_ledger"),
        (writer, "record_sent"),
        (writer.ShuffleWriter, "write"),
        (loader, "advance_ledger"),
        (loader.CopyLoader, "write"),
    ]
    kept = [(place, name, getattr(place, name)) for place, name in places]
    for place, name, work in kept:
        setattr(place, name, bomb.around(work))
    try:
        yield
    finally:
        for place, name, work in kept:
            setattr(place, name, work)
