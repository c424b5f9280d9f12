"""The files of a run: waited for before it plans, taken for it alone, put away when it has ended.

Waiting holds nothing: no connection, no table, no thread. Whoever cancels the run cancels the sleep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from connectors.base import SourceError
from connectors.files.arrivals import Arrivals, AwaitsFiles, Held, Look
from flows.runtime.job import Job
from flows.runtime.journal import Journal
from flows.runtime.prepare import held_before, owner_of, parsed, source_of
from ir.nodes import SourceNode

_TOLD = 3
"""Of so many files each is named in the log, of more only these."""

_LONG_S = 5.0

Waiting = Callable[[str], Awaitable[None]]
"""Told, as a sentence, each time the run begins to wait for a while."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A source whose files did not come in time: the run ends without a row. With `alert` somebody should look."""

    node: str
    action: Literal["alert", "skip"]
    reason: str

    @property
    def sentence(self) -> str:
        """For the run's log and its report."""
        return f"{'Warning: ' * (self.action == 'alert')}{self.reason} The run ends with zero rows."


@dataclass(slots=True)
class Arrival:
    """What has arrived for a run. `job` is the run's, with the files it holds; it is not run when it was `missed`."""

    job: Job
    journal: Journal
    missed: Missed | None = None
    taken: dict[str, Arrivals] = field(default_factory=dict)
    """The sources whose files are this run's to put away, by node."""

    def completed(self) -> None:
        """Puts the files away, once what they hold is committed. Raises SourceError; a retry of the run tries again."""
        for node, arrivals in self.taken.items():
            told = arrivals.loaded(owner_of(self.job, node))
            for sentence in told[:_TOLD]:
                self.journal.log("extract", f"{node}: {sentence}")
            if len(told) > _TOLD:
                self.journal.log("extract", f"{node}: and so on, {len(told):,} files in all")

    def failed(self, error: Exception) -> str:
        """Why the run failed. A file that cannot be read is put aside and the reason says where; others stay."""
        reason = str(error)
        unreadable = error.file if isinstance(error, SourceError) else None
        for node, arrivals in self.taken.items():
            if unreadable is not None and node in self.job.held and unreadable in self.job.held[node].places:
                try:
                    told = arrivals.unreadable(owner_of(self.job, node), unreadable)
                except SourceError as trouble:  # what went wrong first is what people should read first
                    told = (str(trouble),)
                reason = " ".join([reason, *(f"{sentence.removesuffix('.')}." for sentence in told)])
        return reason


async def arrive(job: Job, journal: Journal, on_wait: Waiting | None = None) -> Arrival:
    """Waits until every source that asks for it has files, and takes them. Raises SourceError or PlanFailed.

    A run that continues an earlier one gets the files of that one, wherever they lie now; those of a replay stay there.
    """
    arrival = Arrival(job, journal)
    held: dict[str, Held] = {}
    pending: dict[str, _Pending] = {}
    for node in parsed(job).nodes:
        if not isinstance(node, SourceNode) or not isinstance(source := source_of(node, job), AwaitsFiles):
            continue
        arrivals = source.arrivals
        if (before := await asyncio.to_thread(held_before, arrivals, node.id, job)) is not None:
            held[node.id] = before
            if not job.continues.replays:
                arrival.taken[node.id] = arrivals
        elif job.continues.earlier_plan is None and arrivals.wanted:
            pending[node.id] = _Pending(node.id, arrivals, owner_of(job, node.id), journal, on_wait)
    claimed: dict[str, Arrivals] = {}
    try:
        # First all are there, then all are taken: a run does not keep one file while it waits for another.
        while pending:
            looks = {name: await each.found() for name, each in pending.items()}
            for name, each in list(pending.items()):
                try:
                    held[name] = await asyncio.to_thread(each.arrivals.claim, each.owner, looks[name])
                except SourceError as lost:
                    if lost.code != "file_not_found":
                        raise
                    continue  # to a faster run: look again
                claimed[name] = pending.pop(name).arrivals
    except _MissedIt as miss:
        for name, arrivals in claimed.items():
            await asyncio.to_thread(arrivals.release, owner_of(job, name))
        arrival.missed = miss.missed
        journal.log("extract", miss.missed.sentence)
        return arrival
    arrival.taken |= claimed
    for name, files in held.items():
        for note in files.notes:
            journal.log("extract", f"{name}: {note}")
    arrival.job = replace(job, held=held)
    return arrival


class _MissedIt(Exception):
    def __init__(self, missed: Missed) -> None:
        super().__init__(missed.reason)
        self.missed = missed


@dataclass(slots=True)
class _Pending:
    """A source that is waited for. What a date_glob calls today is the day the run began to wait."""

    node: str
    arrivals: Arrivals
    owner: str
    journal: Journal
    on_wait: Waiting | None
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    looked: int = 0

    async def found(self) -> Look:
        """The first look that finds something. Raises SourceError, or _MissedIt, after the last."""
        while True:
            look = await self._look()
            if look.found:
                return look
            assert look.problem is not None
            policy, wanted = self.arrivals.wait, self.arrivals.describe(self.since)
            if policy is None:
                raise look.problem
            self.looked += 1
            if self.looked <= policy.max_retries:
                pause = _spoken(policy.interval_s)
                await self._tell(
                    f"{self.node}: waiting for {wanted}: {look.problem} "
                    f"Next look in {pause} ({self.looked} of {policy.max_retries})."
                )
                await asyncio.sleep(policy.interval_s)
                continue
            times = f"{self.looked} look{'' if self.looked == 1 else 's'}"
            reason = f"{self.node}: {wanted} did not come ({times}, {_spoken(policy.interval_s)} apart). {look.problem}"
            if policy.on_miss == "fail":
                raise SourceError("file_not_found", reason)
            raise _MissedIt(Missed(self.node, policy.on_miss, reason))

    async def _look(self) -> Look:
        """One look, and a second when there are files young enough to be still written to."""
        look = await asyncio.to_thread(self.arrivals.look, self.owner, self.since)
        if look.unsettled and not look.begun:
            if look.settles_in > _LONG_S:
                name, pause = look.unsettled[0].name, _spoken(look.settles_in)
                sentence = f"{self.node}: '{name}' changed just now. Next look in {pause}."
                await asyncio.to_thread(self.journal.log, "extract", sentence)
            await asyncio.sleep(look.settles_in)
            look = await asyncio.to_thread(self.arrivals.look, self.owner, self.since, look)
        return look

    async def _tell(self, sentence: str) -> None:
        if self.on_wait is not None:
            await self.on_wait(sentence)
        await asyncio.to_thread(self.journal.log, "extract", sentence)


def _spoken(seconds: float) -> str:
    return f"{seconds / 60:.3g} min" if seconds >= 60 else f"{seconds:.3g} s"
