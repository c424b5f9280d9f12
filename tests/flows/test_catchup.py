"""Handling of missed scheduled runs, by policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from headrace.flows.catchup import GRACE, Skipped, Starts, WaitsForOlder, policy_of, start_verdict
from headrace.flows.prefect.names import SKIPPED
from headrace.ir.schedules.schedule import CatchUp

TWO = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
THREE, FOUR = TWO + timedelta(hours=1), TWO + timedelta(hours=2)
NOW = FOUR + timedelta(minutes=10)


@pytest.mark.parametrize("policy", ["latest", "none"])
def test_a_run_within_the_grace_starts(policy: CatchUp) -> None:
    assert start_verdict(policy, TWO, TWO + GRACE, newest=THREE, older_waits=True) == Starts()


def test_latest_runs_the_newest_and_says_of_the_others_which_that_is() -> None:
    assert start_verdict("latest", FOUR, NOW, newest=FOUR, older_waits=True) == Starts()
    for due in (TWO, THREE):
        verdict = start_verdict("latest", due, NOW, newest=FOUR, older_waits=False)
        assert isinstance(verdict, Skipped)
        assert verdict.message.startswith(SKIPPED)
        assert f"{due:%Y-%m-%d %H:%M:%SZ}" in verdict.message
        assert "'latest': the run of 2026-11-21 04:00:00Z starts instead" in verdict.message


def test_latest_runs_a_missed_one_when_it_knows_of_no_newer() -> None:
    assert start_verdict("latest", TWO, NOW, newest=None, older_waits=False) == Starts()


def test_none_runs_no_missed_one() -> None:
    for newest in (TWO, FOUR, None):
        verdict = start_verdict("none", TWO, NOW, newest=newest, older_waits=False)
        assert isinstance(verdict, Skipped)
        assert "'none'" in verdict.message


@pytest.mark.parametrize("taken_at", [TWO, NOW])
def test_all_runs_every_one_after_the_older_ones(taken_at: datetime) -> None:
    assert start_verdict("all", TWO, taken_at, newest=FOUR, older_waits=False) == Starts()
    assert start_verdict("all", TWO, taken_at, newest=FOUR, older_waits=True) == WaitsForOlder()


@pytest.mark.parametrize(
    ("tags", "policy"),
    [
        (["headrace", "catchup:all"], "all"),
        (["catchup:none"], "none"),
        (["headrace", "tenant:catchup:all"], "latest"),
        (["catchup:"], "latest"),
        (["catchup:ALL", "catchup:some"], "latest"),
        ([], "latest"),
    ],
)
def test_a_deployment_without_a_policy_that_is_known_has_the_default(tags: list[str], policy: CatchUp) -> None:
    assert policy_of(tags) == policy
