"""Limits on concurrent child processes, per tenant and in total, and the HTTP errors of failed jobs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import Request

from headrace.api.errors import ApiError
from headrace.api.subprocesses.fork_client import (
    ChildEnded,
    ForkClient,
    JobLimits,
    MemoryLimitExceeded,
    TimeLimitExceeded,
)
from headrace.api.subprocesses.protocol import AnswerTooLong
from headrace.catalog.settings import Settings
from headrace.catalog.sizes import format_bytes, parse_bytes
from headrace.flows.runtime.memory.limit import machine_memory
from headrace.ir.problems import Problem

PRELOADED = ("headrace.api.subprocesses.jobs",)

FORK_CLIENT = ForkClient(PRELOADED)
"""One per process, shared by all its applications."""

_MIN_CONCURRENT, _MAX_CONCURRENT = 4, 16
_MEMORY_SHARE = 0.25
_QUEUE_TIMEOUT_S = 2.0
_POLL_S = 0.05
_DISCONNECT_POLL_S = 0.2
_RETRY_AFTER_S = 5


class SubprocessPool:
    """Runs plans, previews, connection tests and discovery in child processes, a limited number at a time."""

    def __init__(self, settings: Settings, children: ForkClient = FORK_CLIENT) -> None:
        self.memory = parse_bytes(settings.outside_memory_limit, whole=machine_memory())
        fit = int(machine_memory() * _MEMORY_SHARE) // self.memory
        self._at_once = settings.outside_work or max(_MIN_CONCURRENT, min(_MAX_CONCURRENT, fit))
        self._per_tenant = min(settings.outside_work_per_tenant, self._at_once)
        self._children = children
        self._lock = threading.Lock()
        self._taken: Counter[str] = Counter()

    def start(self) -> None:
        """Starts the fork server, which then imports what jobs need."""
        self._children.start()

    async def run(
        self,
        request: Request | None,
        tenant: str,
        what: str,
        seconds: float,
        work: Callable[..., bytes],
        *arguments: Any,
    ) -> bytes:
        """Returns the result of `work`, called in a child, which is killed when the client of `request` (if given)
        disconnects. `what` is its name in error messages, such as `preview`.

        Raises ApiError: 429 when no slot becomes free, 422 when it exceeds its memory or time or its answer is too
        large, 499 when the client disconnects, 503 when its process died; and what the work raises.
        """
        async with self._place(tenant):
            job = asyncio.ensure_future(
                self._children.run(work, *arguments, bounds=JobLimits(seconds=seconds, memory=self.memory))
            )
            try:
                while not (await asyncio.wait({job}, timeout=_DISCONNECT_POLL_S))[0]:
                    if request is not None and await request.is_disconnected():
                        raise ApiError(499, "The client has closed its connection")
                return job.result()
            except TimeLimitExceeded:
                raise _limit_exceeded(
                    "took_too_long",
                    f"The {what} took longer than {seconds:g} s",
                    "let it read less, or have the operator raise HEADRACE_PREVIEW_TIMEOUT_S",
                ) from None
            except MemoryLimitExceeded as error:
                node = error.verdict.node if error.verdict is not None else ""
                raise _limit_exceeded(
                    "needs_too_much_memory",
                    f"The {what} needed more than {format_bytes(self.memory)} of memory"
                    + (f" for the node '{node}'" * bool(node)),
                    "let it make fewer or smaller rows, or have the operator raise HEADRACE_OUTSIDE_MEMORY_LIMIT",
                    node,
                ) from None
            except AnswerTooLong:
                raise _limit_exceeded(
                    "answer_too_large",
                    f"The result of the {what} is too large for one response",
                    "ask for one node, or for fewer rows",
                ) from None
            except ChildEnded:
                raise ApiError(
                    503,
                    f"The process of the {what} ended unexpectedly; try again",
                    headers={"Retry-After": str(_RETRY_AFTER_S)},
                ) from None
            finally:
                if not job.done():
                    job.cancel()
                    with suppress(asyncio.CancelledError):
                        await job

    @asynccontextmanager
    async def _place(self, tenant: str) -> AsyncIterator[None]:
        until = time.monotonic() + _QUEUE_TIMEOUT_S
        while (full := self._take(tenant)) is not None:
            if time.monotonic() > until:
                raise ApiError(429, full, headers={"Retry-After": str(_RETRY_AFTER_S)})
            await asyncio.sleep(_POLL_S)  # polled: a slot may be released from another event loop
        try:
            yield
        finally:
            with self._lock:
                self._taken[tenant] -= 1
                if not self._taken[tenant]:
                    del self._taken[tenant]

    def _take(self, tenant: str) -> str | None:
        """Takes a slot and returns None, or returns why none is free."""
        kinds = "plans, previews and connection tests"
        with self._lock:
            if self._taken[tenant] >= self._per_tenant:
                return (
                    f"{self._per_tenant} {kinds} of the tenant are in progress, the limit "
                    "(HEADRACE_OUTSIDE_WORK_PER_TENANT); try again when one has ended"
                )
            if self._taken.total() >= self._at_once:
                return (
                    f"{self._at_once} {kinds} are in progress, the limit of the server "
                    "(HEADRACE_OUTSIDE_WORK); try again when one has ended"
                )
            self._taken[tenant] += 1
            return None


def _limit_exceeded(code: str, message: str, hint: str, node: str = "") -> ApiError:
    return ApiError(422, message, details=[Problem(f"nodes.{node}" if node else "", code, message, hint)])
