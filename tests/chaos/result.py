"""What a campaign found, and how it asks a facade whose database the faults hit."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import httpx
import psycopg

T = TypeVar("T")

_PAUSE_S = 0.2


@dataclass
class Result:
    """What a campaign found."""

    runs: int = 0
    retries: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    doubled: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        return (
            f"{self.faults.total()} faults injected into {self.runs} runs, which were retried {self.retries} times "
            f"({kinds}): {self.lost} rows lost, {self.doubled} rows doubled, {len(self.wrong)} runs with other "
            f"differences"
        )


class NotYetError(Exception):
    """The facade cannot do it just now."""


def asked(ask: Callable[[], T], seconds: float = 120) -> T:
    """The answer, as soon as there is one that is not an error of the server."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = ask()
            if not (isinstance(found, httpx.Response) and found.status_code >= 500):
                return found
            reason = found.text
        except (httpx.HTTPError, psycopg.Error, NotYetError, AssertionError, ValueError) as error:
            reason = repr(error)
        if time.monotonic() > deadline:
            raise AssertionError(reason)
        time.sleep(_PAUSE_S)
