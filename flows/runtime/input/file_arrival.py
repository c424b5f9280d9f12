"""The files of a run: waits for them before planning, claims them for this run, archives them when it has ended.

Waiting holds no connection, table lock or thread. Cancelling the run cancels the sleep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from headrace.connectors.errors import SourceError
from headrace.connectors.files.arrival.inbox import ClaimedFiles, HasInbox, Inbox, InboxState
from headrace.connectors.source import Source
from headrace.flows.runtime.input.sources import held_before, owner_of, parsed, source_of
from headrace.flows.runtime.job import Job
from headrace.flows.runtime.run_recorder import RunRecorder
from headrace.ir.nodes import SourceNode

_MAX_NAMED_FILES = 3
"""The maximum number of files that are named in the log."""

_LONG_S = 5.0

Waiting = Callable[[str], Awaitable[None]]
"""Called with the reason, as a sentence, each time the run begins to wait."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A source whose files did not arrive in time, so that the run ends without rows. `alert` asks for attention."""

    node: str
    action: Literal["alert", "skip"]
    reason: str

    @property
    def sentence(self) -> str:
        """The text for the run's log and report."""
        return f"{'Warning: ' * (self.action == 'alert')}{self.reason} The run ends with zero rows."


@dataclass(slots=True)
class Arrival:
    """The files that arrived for a run. `job` is the job with these files; it is not run when `missed` is set."""

    job: Job
    recorder: RunRecorder
    missed: Missed | None = None
    taken: dict[str, Inbox] = field(default_factory=dict)
    """The sources whose files this run archives, by node."""

    def completed(self, sources: Mapping[str, Source]) -> None:
        """Archives the files after their rows are committed, and moves files that the source skipped as unreadable to
        the failure folder. Raises SourceError; a retry of the run tries again."""
        for node, arrivals in self.taken.items():
            owner, source = owner_of(self.job, node), sources.get(node)
            left_out: tuple[str, ...] = source.left_out if isinstance(source, HasInbox) else ()
            for name in left_out:
                for sentence in arrivals.skipped(owner, name):
                    self.recorder.log("extract", f"{node}: {sentence}", level="warning")
            sentences = arrivals.loaded(owner)
            for sentence in sentences[:_MAX_NAMED_FILES]:
                self.recorder.log("extract", f"{node}: {sentence}")
            if len(sentences) > _MAX_NAMED_FILES:
                self.recorder.log("extract", f"{node}: and so on, {len(sentences):,} files in all")

    def failed(self, error: Exception) -> str:
        """The failure reason of the run. An unreadable file is moved, and the reason says where; other files stay."""
        reason = str(error)
        unreadable = error.file if isinstance(error, SourceError) else None
        for node, arrivals in self.taken.items():
            if unreadable is not None and node in self.job.held and unreadable in self.job.held[node].places:
                try:
                    sentences = arrivals.unreadable(owner_of(self.job, node), unreadable)
                except SourceError as trouble:  # reported after the first error
                    sentences = (str(trouble),)
                reason = " ".join([reason, *(f"{sentence.removesuffix('.')}." for sentence in sentences)])
        return reason


async def arrive(job: Job, recorder: RunRecorder, on_wait: Waiting | None = None) -> Arrival:
    """Waits until every source that waits for files has some, and claims them. Raises SourceError or PlanFailed.

    A run that continues an earlier run gets the files of that run, wherever they are now; a replay does not move them.
    """
    arrival = Arrival(job, recorder)
    held: dict[str, ClaimedFiles] = {}
    pending: dict[str, _Pending] = {}
    for node in parsed(job).nodes:
        if not isinstance(node, SourceNode) or not isinstance(source := source_of(node, job), HasInbox):
            continue
        arrivals = source.arrivals
        if (before := await asyncio.to_thread(held_before, arrivals, node.id, job)) is not None:
            held[node.id] = before
            if not job.continues.replays:
                arrival.taken[node.id] = arrivals
            if job.continues.earlier_plan is None:  # what the plan will be made of
                await asyncio.to_thread(arrivals.give_up_unreadable, owner_of(job, node.id))
        elif job.continues.earlier_plan is None and arrivals.wanted:
            pending[node.id] = _Pending(node.id, arrivals, owner_of(job, node.id), recorder, on_wait)
    claims = _Claims(recorder)
    try:
        while pending:
            looks = {name: await each.found() for name, each in pending.items()}
            if await claims.taken(pending, looks):
                break
    except _FilesMissed as miss:
        claims.give_back()
        arrival.missed = miss.missed
        recorder.log("extract", miss.missed.sentence, level="warning")
        return arrival
    except BaseException:  # a fault, or the run is cancelled
        claims.give_back()
        raise
    held |= claims.held
    arrival.taken |= {name: each.arrivals for name, each in pending.items()}
    for name, files in held.items():
        for note in files.notes:
            recorder.log("extract", f"{name}: {note}")
    arrival.job = replace(job, held=held)
    return arrival


class _Claims:
    """The claims of a run that waits: for all of its sources or for none, so that it does not hold the files of one
    while it waits for those of another."""

    def __init__(self, recorder: RunRecorder) -> None:
        self._recorder = recorder
        self._begun: list[_Pending] = []
        self.held: dict[str, ClaimedFiles] = {}

    async def taken(self, pending: Mapping[str, _Pending], looks: Mapping[str, InboxState]) -> bool:
        """Claims the files for all sources. Gives them back and returns False when another run was faster with those of
        one. Raises SourceError."""
        for name, each in pending.items():
            self._begun.append(each)
            claiming = asyncio.ensure_future(asyncio.to_thread(each.arrivals.claim, each.owner, looks[name]))
            try:
                self.held[name] = await asyncio.shield(claiming)
            except SourceError as lost:
                if lost.code != "file_not_found":
                    raise
                await asyncio.to_thread(self.give_back)
                return False
            except asyncio.CancelledError:
                await asyncio.wait([claiming])  # only a claim that has ended can be given back
                raise
        return True

    def give_back(self) -> None:
        """Moves all claimed files back to where they arrived. A file that cannot go back is logged: it stays claimed,
        and a retry of the run reads it."""
        self.held.clear()
        while self._begun:
            each = self._begun.pop()
            try:
                each.arrivals.release(each.owner)
            except SourceError as trouble:
                self._recorder.log("extract", f"{each.node}: {trouble}", level="warning")


class _FilesMissed(Exception):
    def __init__(self, missed: Missed) -> None:
        super().__init__(missed.reason)
        self.missed = missed


@dataclass(slots=True)
class _Pending:
    """A source whose files have not arrived. 'Today' in a date_glob is the day on which the run began to wait."""

    node: str
    arrivals: Inbox
    owner: str
    recorder: RunRecorder
    on_wait: Waiting | None
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    looked: int = 0

    async def found(self) -> InboxState:
        """The first look that finds files. After the last look, raises SourceError or _MissedIt."""
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
                pause = _duration(policy.interval_s)
                await self._tell(
                    f"{self.node}: waiting for {wanted}: {look.problem} "
                    f"Next look in {pause} ({self.looked} of {policy.max_retries})."
                )
                await asyncio.sleep(policy.interval_s)
                continue
            times = f"{self.looked} look{'' if self.looked == 1 else 's'}"
            reason = (
                f"{self.node}: {wanted} did not come ({times}, {_duration(policy.interval_s)} apart). {look.problem}"
            )
            if policy.on_miss == "fail":
                raise SourceError("file_not_found", reason)
            raise _FilesMissed(Missed(self.node, policy.on_miss, reason))

    async def _look(self) -> InboxState:
        """Looks once, and again when files changed so recently that they may still be written to."""
        look = await asyncio.to_thread(self.arrivals.look, self.owner, self.since)
        if look.unsettled and not look.begun:
            if look.settles_in > _LONG_S:
                name, pause = look.unsettled[0].name, _duration(look.settles_in)
                sentence = f"{self.node}: '{name}' changed just now. Next look in {pause}."
                await asyncio.to_thread(self.recorder.log, "extract", sentence)
            await asyncio.sleep(look.settles_in)
            look = await asyncio.to_thread(self.arrivals.look, self.owner, self.since, look)
        return look

    async def _tell(self, sentence: str) -> None:
        if self.on_wait is not None:
            await self.on_wait(sentence)
        await asyncio.to_thread(self.recorder.log, "extract", sentence)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.3g} min" if seconds >= 60 else f"{seconds:.3g} s"
