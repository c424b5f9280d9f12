"""Refused recurrence rules with reasons, and the limit on the work for hostile ones."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from headrace.ir.schedules.fire_times import last_fire, next_fires
from headrace.ir.schedules.schedule import RRuleSchedule
from tests.effort import examples

SINCE = datetime(2026, 1, 5, 9, 30, 20, tzinfo=UTC)
NOW = datetime(2026, 11, 27, 12, 7, 3, tzinfo=UTC)

# Lines of dateutil that may run for one question; a walk to the year 9999 takes hundreds of times as many.
MOST_LINES = 12_000_000


def problem(rule: str, **schedule: str) -> str:
    """The code with which the rule is refused; empty when it is not."""
    try:
        RRuleSchedule(kind="rrule", rrule=rule, **schedule)
    except ValidationError as error:
        return str(error.errors()[0]["type"])
    return ""


def lines_of_dateutil(ask: Callable[[], object]) -> int:
    """How many lines of dateutil's ask runs; fails as soon as they are too many."""
    lines = 0

    def count(_frame: FrameType, kind: str, _argument: Any) -> Any:
        nonlocal lines
        lines += kind == "line"
        assert lines <= MOST_LINES, "followed for too long"
        return count

    def enter(frame: FrameType, _kind: str, _argument: Any) -> Any:
        return count if "dateutil" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        ask()
    finally:
        sys.settrace(before)
    return lines


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30", "fires_too_often"),
        ("FREQ=DAILY;BYSECOND=0,30", "fires_too_often"),
        (f"FREQ=DAILY;BYHOUR={','.join(map(str, range(24)))};BYMINUTE=0,10,20,30,40", "fires_too_often"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "never_fires"),
        ("FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30", "never_fires"),
        ("FREQ=YEARLY;BYMONTH=4;BYMONTHDAY=31", "never_fires"),
        ("FREQ=MONTHLY;BYMONTH=4", "never_fires"),  # saved on a 31st
        ("DTSTART:20260106T000000\nRRULE:FREQ=DAILY;INTERVAL=7;BYDAY=MO", "never_fires"),
        ("DTSTART:20260106T000000\nRRULE:FREQ=DAILY;UNTIL=20260105T000000", "never_fires"),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=MO", "start_needed"),
        ("FREQ=MINUTELY;INTERVAL=15;BYMINUTE=0,15,30,45", "start_needed"),
        ("FREQ=MINUTELY;BYMONTH=2;BYMONTHDAY=29;BYHOUR=23", "invalid_rrule"),
        ("FREQ=DAILY;INTERVAL=0", "invalid_rrule"),
        ("FREQ=DAILY;INTERVAL=-1", "invalid_rrule"),
        ("FREQ=DAILY;COUNT=0", "invalid_rrule"),
        ("FREQ=DAILY;COUNT=100000000", "invalid_rrule"),
        ("FREQ=HOURLY;BYHOUR=25", "invalid_rrule"),
        ("FREQ=DAILY;BYEASTER=0", "invalid_rrule"),
        ("FREQ=DAILY;FREQ=DAILY", "invalid_rrule"),
        ("FREQ=DAILY\nEXRULE:FREQ=DAILY", "invalid_rrule"),
        ("DTSTART;TZID=Europe/Paris:20260101T090000\nRRULE:FREQ=DAILY", "invalid_rrule"),
        ("DTSTART:next monday\nRRULE:FREQ=DAILY", "invalid_rrule"),
        ("DTSTART:19000101T000000\nRRULE:FREQ=DAILY", "start_out_of_range"),
        ("FREQ=DAILY;BYMONTHDAY=" + ",".join(["1"] * 1000), "too_long"),
        ("", "invalid_rrule"),
    ],
)
def test_what_is_refused_says_why(rule: str, code: str) -> None:
    assert problem(rule) == code


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=MINUTELY;INTERVAL=5;BYSECOND=0",
        "FREQ=MINUTELY;BYDAY=MO;BYHOUR=9",
        "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=MO",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
        "FREQ=DAILY;UNTIL=20010101T000000",  # over, which is no fault of the document
        "DTSTART:20260105T090000\nRRULE:FREQ=DAILY;INTERVAL=7;BYDAY=MO",
        "dtstart:20260105T090000\nrrule:freq=daily",
    ],
)
def test_what_fires_at_all_is_taken(rule: str) -> None:
    assert problem(rule) == ""


def test_a_start_in_utc_is_no_start_in_another_zone() -> None:
    rule = "DTSTART:20260105T090000Z\nRRULE:FREQ=DAILY"
    assert problem(rule) == ""
    assert problem(rule, timezone="Europe/Paris") == "zone_conflict"


@pytest.mark.parametrize(
    "rule",
    [
        "DTSTART:20000229T000000\nRRULE:FREQ=YEARLY",
        "DTSTART:20000103T000000\nRRULE:FREQ=WEEKLY;INTERVAL=3",
        "DTSTART:20000131T120000\nRRULE:FREQ=MONTHLY;INTERVAL=7",
        "DTSTART:20010715T120000\nRRULE:FREQ=YEARLY;INTERVAL=3",
        "DTSTART:20000101T120000\nRRULE:FREQ=DAILY;INTERVAL=13;BYHOUR=3,15",
    ],
)
def test_a_rule_entered_halfway_keeps_its_beat(rule: str) -> None:
    from dateutil.rrule import rrulestr

    whole = rrulestr(rule)
    here = NOW.replace(tzinfo=None)
    schedule = RRuleSchedule(kind="rrule", rrule=rule)
    expected = [at.replace(tzinfo=UTC) for at in whole.xafter(here, count=4)]
    assert next_fires(schedule, since=SINCE, after=NOW, count=4) == expected
    since = datetime(2000, 1, 1, tzinfo=UTC)
    assert last_fire(schedule, since=since, before=NOW) == whole.before(here).replace(tzinfo=UTC)


_NUMBERS = st.lists(st.integers(-2, 60), min_size=1, max_size=4).map(lambda found: ",".join(map(str, found)))
_PART = st.one_of(
    st.tuples(
        st.sampled_from(["BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYHOUR", "BYMINUTE", "BYSETPOS"]), _NUMBERS
    ),
    st.tuples(st.just("INTERVAL"), st.sampled_from(["1", "2", "7", "60", "1440", "1461", "99999", "10000000000"])),
    st.tuples(st.just("BYDAY"), st.sampled_from(["MO", "TU,SU", "1MO", "-1FR", "5SU"])),
    st.tuples(st.sampled_from(["COUNT", "UNTIL", "BYEASTER"]), st.sampled_from(["1", "9999", "20991231T000000"])),
)
_RULES = st.builds(
    lambda start, frequency, parts: start + ";".join([f"FREQ={frequency}", *(f"{a}={b}" for a, b in parts)]),
    st.sampled_from(["", "", "DTSTART:20200101T000000\nRRULE:", "DTSTART:00010101T000000\nRRULE:"]),
    st.sampled_from(["MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY", "SECONDLY"]),
    st.lists(_PART, max_size=4),
)


def _ask_everything(rule: str) -> None:
    if problem(rule):
        return
    schedule = RRuleSchedule(kind="rrule", rrule=rule)
    found = next_fires(schedule, since=SINCE, after=NOW, count=5)
    assert all(at > NOW for at in found)
    last = last_fire(schedule, since=SINCE, before=NOW)
    assert last is None or SINCE - timedelta(seconds=1) <= last <= NOW


@settings(max_examples=examples(60))
@given(_RULES | st.text(max_size=60))
def test_any_text_is_answered_within_a_bounded_number_of_steps(rule: str) -> None:
    assert lines_of_dateutil(lambda: _ask_everything(rule)) <= MOST_LINES


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=WEEKLY;BYMONTH=13",
        "FREQ=HOURLY;BYHOUR=3;BYMONTH=2;BYMONTHDAY=30",
        "DTSTART:20260106T000100\nRRULE:FREQ=MINUTELY;INTERVAL=10080;BYDAY=MO",
        "DTSTART:20260106T000100\nRRULE:FREQ=MINUTELY;INTERVAL=10080;BYMINUTE=1;BYHOUR=0;BYDAY=MO",
        "DTSTART:20200229T000000\nRRULE:FREQ=DAILY;INTERVAL=1461;BYMONTH=2;BYMONTHDAY=29",
    ],
)
def test_the_worst_rules_are_answered_within_a_bounded_number_of_steps(rule: str) -> None:
    assert 0 < lines_of_dateutil(lambda: _ask_everything(rule)) <= MOST_LINES
