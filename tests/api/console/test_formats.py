"""Numbers, times and statuses as pages write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from headrace.api.console import formats

NOW = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)


def test_numbers_have_separators_and_none_is_a_dash() -> None:
    assert formats.number(1234567) == "1,234,567"
    assert formats.number(None) == formats.DASH
    assert [formats.short_number(each) for each in (950, 9999, 12_345, 1_250_000)] == ["950", "9,999", "12.3k", "1.2M"]


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 10, "0%"),
        (10, 10, "100%"),
        (1, 3, "33.3%"),
        (1, 100_000, "<0.1%"),
        (99_999, 100_000, ">99.9%"),
        (0, 0, "0%"),
    ],
)
def test_a_share_is_never_rounded_to_nothing_or_to_all(part: int, whole: int, text: str) -> None:
    assert formats.percent(part, whole) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.44, "0.4 s"), (12.3, "12 s"), (59.6, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (273_600, "3 d 4 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(
    ("away", "text"),
    [(0, "just now"), (-7, "7 s ago"), (-300, "5 min ago"), (7200, "in 2 h"), (-86400 * 3, "3 d ago")],
)
def test_relative_times(away: float, text: str) -> None:
    assert formats.relative(NOW + timedelta(seconds=away), NOW) == text


def test_moments_are_in_utc_whatever_zone_they_come_in() -> None:
    assert formats.moment(NOW.astimezone()) == "2026-01-15 09:00:00 UTC"
