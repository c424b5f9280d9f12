"""Streams with injected faults, each compared with what was sent."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import psycopg

from tests.chaos.result import Result, asked
from tests.chaos.sources import KafkaNumbers, KinesisNumbers, Mirror, Streamed
from tests.chaos.world import World, killed
from tests.connectors.kafka.brokers import Topics, tansu
from tests.connectors.kinesis.streams import kinesalite
from tests.connectors.sql.postgresql.changes.origin import Origin, new_origin, start_origin

_FAULTS_BETWEEN = 20
"""Between two comparisons, each of which waits until nothing is left to do."""
_SOON_SECONDS = 60.0
_PATIENCE_SECONDS = 600.0
_QUIET_SECONDS = 4.0
"""After everything has arrived, so that what is loaded twice would be seen."""


class StreamCampaign:
    """Sends and injects a fault, again and again. From time to time, and at the end, it waits until all streams have
    everything, and compares them row by row with what was sent."""

    def __init__(
        self, world: World, streams: Sequence[Streamed], origin: Origin, *, faults: int, seed: int,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._streams, self._faults, self._say = streams, faults, say
        self._kinds = world.faults | {
            "kill origin": lambda: killed(origin.server),
            "cut origin": lambda: cut(origin),
        }
        self._chance = random.Random(seed)
        self._began = time.monotonic()
        self.result = Result()

    def run(self) -> Result:
        """Injects, waits, compares."""
        for stream in self._streams:
            asked(stream.start)
            self.result.runs += 1
        self._compared("the start")
        while self.result.faults.total() < self._faults:
            last = min(self._faults, self.result.faults.total() + _FAULTS_BETWEEN)
            kinds: list[str] = []
            while self.result.faults.total() < last:
                self._arrived([self._chance.choice(self._streams)], _SOON_SECONDS)
                for _ in range(self._chance.choice((1, 2, 3, 4))):
                    kinds += self._one()
            self._compared(", ".join(kinds))
        return self.result

    def _one(self) -> list[str]:
        """A fault, soon after something was sent. One of the streams, another each time, had everything before the
        first of several; the others may still be busy with the faults before."""
        for stream in self._streams:
            stream.sends(self._chance)
        time.sleep(self._chance.random() * 2)
        kind = self._chance.choice([*self._kinds, "kill run"])  # this one twice as often as the others
        if not self._kinds[kind]():
            return []
        self.result.faults[kind] += 1
        minutes = (time.monotonic() - self._began) / 60
        self._say(f"{self.result.faults.total():4} faults in {minutes:.1f} minutes: {kind}")
        return [kind]

    def _arrived(self, streams: Sequence[Streamed], seconds: float) -> None:
        """Waits until these streams have everything, or the time is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for stream in self._streams:
                self._retried(stream)
            if all(self._complete(each) for each in streams):
                return
            time.sleep(1.0)

    def _compared(self, after: str) -> None:
        self._arrived(self._streams, _PATIENCE_SECONDS)
        time.sleep(_QUIET_SECONDS)
        for stream in self._streams:
            have, want = asked(stream.loaded), asked(stream.expected)
            lost, more = (want - have).total(), (have - want).total()
            self.result.lost += lost
            self.result.doubled += more
            verdict = f"{want.total()} rows" if not (lost or more) else f"{lost} lost, {more} too many"
            if lost or more:
                self.result.wrong.append(f"{stream.kind} after {after}: {verdict}")
            self._say(f"{self.result.faults.total():4} faults  {stream.kind} after {after}: {verdict}")

    def _complete(self, stream: Streamed) -> bool:
        try:
            return stream.loaded() == stream.expected()
        except psycopg.Error:
            return False

    def _retried(self, stream: Streamed) -> None:
        """A stream that failed again and again is started later and later: here at once."""
        try:
            newest = stream.runs()[0]
            if newest["status"] == "failed":
                answer = stream.post(f"/pipelines/{stream.pipeline}/runs/{newest['id']}/retry")
                self.result.retries += answer.status_code == 201
        except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError):
            pass  # the facade's own database is what the faults hit


def cut(origin: Origin) -> bool:
    """Ends the connections of those who read changes."""
    ends = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'headrace'"
    return origin.rows(ends) != [(0,)]


@contextmanager
def open_streams(world: World) -> Iterator[tuple[list[Streamed], Origin]]:
    """A broker, a service and a second PostgreSQL, and the pipelines that read them."""
    assert world.stack is not None
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="headrace-origin-")))
        server = start_origin(folder)
        stack.callback(server[0].stop)
        topics = Topics(f"127.0.0.1:{stack.enter_context(tansu())}", single=True)
        service = stack.enter_context(kinesalite())
        origin = new_origin(server)
        streams: list[Streamed] = [
            KafkaNumbers(world.stack, world.direct_url, topics),
            KinesisNumbers(world.stack, world.direct_url, service),
            Mirror(world.stack, world.direct_url, origin),
        ]
        for each in streams:
            stack.callback(each.close)
        yield streams, origin
