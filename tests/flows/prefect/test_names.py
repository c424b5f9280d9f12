"""Names of runs, and which names are not replaced."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from headrace.flows.prefect.names import is_random, run_name

AT = datetime(2026, 11, 21, 2, 0, 5, tzinfo=UTC)


def test_a_name_has_the_pipeline_and_the_moment_in_utc() -> None:
    assert run_name("Daily orders", AT) == "Daily orders 2026-11-21 02:00:05Z"
    assert run_name("Daily orders", AT.astimezone(timezone(timedelta(hours=-5)))) == run_name("Daily orders", AT)


def test_a_retry_says_of_which_run() -> None:
    name = run_name("Daily orders", AT + timedelta(hours=1), retry_of=AT)
    assert name == "Daily orders 2026-11-21 03:00:05Z, retry of 2026-11-21 02:00:05Z"


@pytest.mark.parametrize("name", ["Daily orders 2026-11-21 02:00:05Z", "backfill of march", "march-2026", "x"])
def test_what_people_call_a_run_is_kept(name: str) -> None:
    assert not is_random(name)


def test_prefects_own_names_are_reported() -> None:
    from prefect.utilities.names import generate_slug

    assert all(is_random(generate_slug(2)) for _ in range(200))
