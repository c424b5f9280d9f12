"""Child processes that exceed memory or time, or die, and the fork server that survives them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from headrace.api.subprocesses.fork_client import (
    ChildEnded,
    ForkClient,
    JobLimits,
    MemoryLimitExceeded,
    TimeLimitExceeded,
)
from headrace.api.subprocesses.protocol import MAX_ANSWER_BYTES, AnswerTooLong, Fault
from headrace.connectors.errors import SourceError
from headrace.flows.dry_run.plan import PlanFailed
from tests.api.subprocesses import work

MEMORY = 300 * 1024**2
USUAL = JobLimits(seconds=60, memory=MEMORY)


@pytest.fixture(scope="module")
def children() -> Iterator[ForkClient]:
    made = ForkClient(["tests.api.subprocesses.work"])
    made.start()
    yield made
    made.close()


def run(children: ForkClient, job: Callable[..., bytes], *arguments: Any, bounds: JobLimits = USUAL) -> bytes:
    return asyncio.run(children.run(job, *arguments, bounds=bounds))


def test_what_the_work_gives_comes_back(children: ForkClient) -> None:
    assert run(children, work.reported, "ä") == "ä".encode()


def test_what_grows_is_killed_at_its_limit_and_its_node_is_reported(children: ForkClient) -> None:
    with pytest.raises(MemoryLimitExceeded) as refused:
        run(children, work.eat_slowly, "clean")
    verdict = refused.value.verdict
    assert verdict is not None
    assert (verdict.killed, verdict.node) == ("memory", "clean")
    assert verdict.peak < 2 * MEMORY  # it was killed in time


@pytest.mark.parametrize("job", [work.eat_with_arrow, work.eat_with_python])
def test_what_asks_for_all_of_it_at_once_gets_nothing(children: ForkClient, job: Callable[[], bytes]) -> None:
    with pytest.raises(MemoryLimitExceeded) as refused:
        run(children, job)
    assert refused.value.verdict is not None
    assert refused.value.verdict.peak < MEMORY


def test_native_code_that_dies_of_it_is_reported_as_memory_too(children: ForkClient) -> None:
    with pytest.raises(MemoryLimitExceeded) as refused:
        run(children, work.eat_at_once, "pad")
    verdict = refused.value.verdict
    assert verdict is not None
    assert (verdict.killed, verdict.node) == (None, "pad")
    assert verdict.code == -signal.SIGABRT
    assert verdict.peak < MEMORY


def test_what_takes_too_long_is_killed(children: ForkClient) -> None:
    with pytest.raises(TimeLimitExceeded):
        run(children, work.dawdle, 600.0, bounds=JobLimits(seconds=0.3, memory=MEMORY))


def test_errors_come_back_as_themselves(children: ForkClient) -> None:
    with pytest.raises(PlanFailed, match="There is none") as refused:
        run(children, work.raise_what_a_plan_raises)
    assert [(each.path, each.code, each.hint) for each in refused.value.problems] == [
        ("nodes[0]", "no_such_thing", "make one"),
        ("", "b", ""),
    ]
    with pytest.raises(SourceError, match=r"It is not there\. Look elsewhere\.") as missing:
        run(children, work.raise_what_a_source_raises)
    assert missing.value.code == "file_not_found"
    with pytest.raises(Fault, match="ZeroDivisionError: of course"):
        run(children, work.raise_a_fault)


def test_an_answer_that_is_too_long_stays_where_it_is(children: ForkClient) -> None:
    assert len(run(children, work.answer_at_length, MAX_ANSWER_BYTES)) == MAX_ANSWER_BYTES
    with pytest.raises(AnswerTooLong):
        run(children, work.answer_at_length, MAX_ANSWER_BYTES + 1)


def test_a_child_that_crashes_takes_nobody_along(children: ForkClient) -> None:
    before = children.pid
    with pytest.raises(ChildEnded) as ended:
        run(children, work.die)
    assert ended.value.verdict is not None
    assert ended.value.verdict.code == -signal.SIGSEGV
    assert run(children, work.reported, "still here") == b"still here"
    assert children.pid == before


def test_who_is_no_longer_waited_for_is_killed(children: ForkClient) -> None:
    async def leave() -> None:
        waiting = asyncio.ensure_future(children.run(work.dawdle, 600.0, bounds=JobLimits(900, MEMORY)))
        await asyncio.to_thread(_until, lambda: bool(_of(children)))
        waiting.cancel()
        await asyncio.wait({waiting})

    asyncio.run(leave())
    _until(lambda: not _of(children))


@pytest.mark.slow
def test_when_the_process_that_forks_is_killed_its_children_die_and_the_next_job_has_another(
    children: ForkClient,
) -> None:
    async def lose() -> None:
        waiting = asyncio.ensure_future(children.run(work.dawdle, 600.0, bounds=JobLimits(900, MEMORY)))
        await asyncio.to_thread(_until, lambda: bool(_of(children)))
        orphans = _of(children)
        assert children.pid is not None
        os.kill(children.pid, signal.SIGKILL)
        with pytest.raises(ChildEnded):
            await waiting
        _until(lambda: not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in orphans))

    asyncio.run(lose())
    assert run(children, work.reported, "another") == b"another"


def test_many_at_once_do_not_mix(children: ForkClient) -> None:
    async def all_of_them() -> list[bytes]:
        return await asyncio.gather(*(children.run(work.reported, str(n), bounds=USUAL) for n in range(30)))

    assert asyncio.run(all_of_them()) == [str(n).encode() for n in range(30)]


def test_a_child_has_no_secret_no_socket_and_little_room(children: ForkClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_KEY_PEPPER", "a pepper that nobody sees")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden too")
    children.close()  # the next one has what there is now
    found = json.loads(run(children, work.surroundings))
    assert not [name for name in found["environment"] if name.startswith(("HEADRACE", "AWS", "PREFECT", "PG"))]
    assert not [place for place in found["descriptors"] if "socket" in place]
    assert found["core"] == ["0", "0"]
    assert int(found["oom"]) > 500
    assert found["leads its session"]
    assert found["memory"] == MEMORY


def _of(children: ForkClient) -> list[psutil.Process]:
    return psutil.Process(children.pid).children() if children.pid is not None else []


def _until(done: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not done():
        assert time.monotonic() < until
        time.sleep(0.02)
