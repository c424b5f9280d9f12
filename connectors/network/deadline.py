"""A deadline for a whole connection test."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from headrace.connectors.errors import SourceError

T = TypeVar("T")


def run_within(seconds: float, work: Callable[[], T]) -> T:
    """Returns or raises what `work` does. Raises SourceError(`no_answer`) if it has not finished after `seconds`.

    A waiting resolver or driver cannot be interrupted, and a server that sends one byte per second never exceeds a read
    timeout. So the work runs in a thread that is abandoned at the deadline. The thread ends with its process, which for
    a connection test is a child process that exits now.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:  # noqa: BLE001 (raised where it is waited for)
            outcome.set_exception(error)

    threading.Thread(target=run, name="probe", daemon=True).start()
    try:
        return outcome.result(timeout=seconds)
    except TimeoutError:
        if outcome.done():  # a TimeoutError raised by the work
            raise
        raise SourceError(
            "no_answer",
            f"No complete answer within {seconds:g} s.",
            "Check host, port and firewall, and that the server speaks the connector's protocol.",
        ) from None
