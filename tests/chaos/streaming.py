"""Streams with injected faults, each compared with what was sent."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

import httpx
import psycopg

from headrace.deployments.stack.database.server import EmbeddedPostgres
from tests.chaos.campaign import Result
from tests.chaos.sources import KafkaNumbers, KinesisNumbers, Mirror, Streamed
from tests.chaos.world import World
from tests.connectors.kafka.brokers import Topics, tansu
from tests.connectors.kinesis.streams import kinesalite
from tests.connectors.sql.postgresql.changes.origin import Origin, new_origin, start_origin

T = TypeVar("T")

_PATIENCE_SECONDS = 600
_QUIET_SECONDS = 4.0
"""After everything has arrived, so that what is loaded twice would be seen."""


class StreamCampaign:
    """Sends, injects a fault, sends again, and waits until all streams have everything, until there were so many
    faults."""

    def __init__(
        self, world: World, streams: Sequence[Streamed], origin: Origin, *, faults: int, seed: int,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._world, self._streams, self._origin, self._faults, self._say = world, streams, origin, faults, say
        self._chance = random.Random(seed)
        self.result = Result()

    def run(self) -> Result:
        """Injects, waits, compares."""
        for stream in self._streams:
            self._asked(stream.start)
            self.result.runs += 1
        self._arrives("the start")
        while self.result.faults.total() < self._faults:
            kinds = []
            for _ in range(self._chance.choice((1, 1, 2, 3))):
                for stream in self._streams:
                    stream.sends(self._chance)
                time.sleep(self._chance.random() * 2)
                kind = self._chance.choice(self._kinds())
                if self._inject(kind):
                    self.result.faults[kind] += 1
                    kinds.append(kind)
            self._arrives(", ".join(kinds) or "no fault")
        return self.result

    def _kinds(self) -> list[str]:
        kinds = [
            "kill run",
            "kill run",
            "kill worker",
            "kill PostgreSQL",
            "cut connections",
            "kill origin",
            "cut origin",
        ]
        return kinds + (["disk full"] if self._world.can_fill_the_disk else [])

    def _inject(self, kind: str) -> bool:
        world = self._world
        match kind:
            case "kill run":
                return world.kill_run()
            case "kill worker":
                return world.kill_worker()
            case "kill PostgreSQL":
                return world.kill_postgres()
            case "cut connections":
                return world.cut_connections()
            case "kill origin":
                return killed(self._origin.server)
            case "cut origin":
                return cut(self._origin)
        return world.fill_the_disk()

    def _arrives(self, after: str) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        waiting = list(self._streams)
        while waiting and time.monotonic() < deadline:
            time.sleep(0.5)
            for stream in waiting:
                self._retried(stream)
            waiting = [each for each in waiting if not self._complete(each)]
        time.sleep(_QUIET_SECONDS)
        for stream in self._streams:
            have, want = self._asked(stream.loaded), self._asked(stream.expected)
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

    def _asked(self, ask: Callable[[], T]) -> T:
        deadline = time.monotonic() + 120
        while True:
            try:
                return ask()
            except (httpx.HTTPError, psycopg.Error, AssertionError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)


def killed(server: EmbeddedPostgres) -> bool:
    """SIGKILL for a server, and a start a moment later."""
    pid = server.pid
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
        while server.pid == pid:  # else the start would take the dying one over
            time.sleep(0.02)
    time.sleep(0.3)
    server.start()
    return pid is not None


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
