"""The rule of `schedule.catchup`: whether a scheduled run starts after its time was missed.

It depends only on times that Prefect stores, so that every process that evaluates it gets the same result.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import get_args

from headrace.flows.prefect.names import SKIPPED
from headrace.ir.schedules.schedule import CatchUp

CATCHUP_TAG = "catchup:"
"""Prefix of the deployment tag with the policy."""

GRACE = timedelta(minutes=1)
"""A run that starts later than this after its due time has missed it."""

DEFAULT: CatchUp = "latest"


@dataclass(frozen=True, slots=True)
class Starts:
    """The run starts."""


@dataclass(frozen=True, slots=True)
class WaitsForOlder:
    """The run starts after an older run of its schedule has ended."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """The run ends without starting."""

    message: str
    """The state message; begins with `SKIPPED`."""


Verdict = Starts | WaitsForOlder | Skipped


def policy_of(tags: Iterable[str]) -> CatchUp:
    """The policy in a deployment's tags, or the default."""
    said = {tag.removeprefix(CATCHUP_TAG) for tag in tags if tag.startswith(CATCHUP_TAG)}
    return next((policy for policy in get_args(CatchUp) if policy in said), DEFAULT)


def start_verdict(
    policy: CatchUp, due_at: datetime, taken_at: datetime, *, newest: datetime | None, older_waits: bool
) -> Verdict:
    """Decides whether a scheduled run that was due at `due_at` starts at `taken_at`.

    `newest` is the latest due time of the schedule's runs that is not after `taken_at`. `older_waits`: a run with an
    earlier due time has not ended.
    """
    if policy == "all":
        return WaitsForOlder() if older_waits else Starts()
    if not is_missed(due_at, taken_at):
        return Starts()
    when = f"{SKIPPED}it could not start within a minute of {_moment(due_at)}"
    if policy == "none":
        return Skipped(f"{when}, and catchup is 'none': the next run is that of the schedule's next time.")
    if newest is not None and newest > due_at:
        return Skipped(f"{when}, and catchup is 'latest': the run of {_moment(newest)} starts instead.")
    return Starts()


def is_missed(due_at: datetime, taken_at: datetime) -> bool:
    """Whether a run with this due time that starts at `taken_at` has missed its time."""
    return taken_at - due_at > GRACE


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
