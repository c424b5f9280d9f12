"""RFC 5545 recurrence rules: strict validation, and evaluation with a bound on the work.

Rules are evaluated repeatedly, here and in Prefect's server. A rule that never fires would be searched to the year
9999, and one that fires every second, or ten thousand times a day, would keep both busy: such rules are refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from dateutil.rrule import rrule, rrulestr

from headrace.ir.problems import fault

PROOF_STEPS = 50_000
"""Steps within which the first two fire times of a rule must be found: one per day, about 137 years."""
SEARCH_STEPS = 1_000_000
"""Steps that the search for the next or the last fire time may take."""

MAX_CHARS = 1_000
MAX_COUNT = 10_000
MAX_INTERVAL = 100_000
MAX_TIMES_A_DAY = 96

_FAST = ("MINUTELY", "HOURLY")
_FREQUENCIES = (*_FAST, "DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_OF_A_DAY = frozenset({"BYHOUR", "BYMINUTE", "BYSECOND"})
_OF_A_YEAR = frozenset({"BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO"})
_PARTS = _OF_A_DAY | _OF_A_YEAR | {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYDAY", "BYSETPOS"}
# Parts that do not depend on the start of a rule with an interval; slower rules always recur.
_FREE_OF_START = {"MINUTELY": {"BYSECOND"}, "HOURLY": {"BYMINUTE", "BYSECOND"}, "DAILY": _OF_A_DAY}
_TIME = re.compile(r"\d{8}(T\d{6}Z?)?")
# A rule without a DTSTART begins when it is saved. Checked with an ordinary day, and with one that most months lack.
_STARTS = (datetime(2026, 1, 5, 9, 30), datetime(2028, 1, 31, 23, 59))
_EXAMPLE = "for example 'FREQ=DAILY;COUNT=10'"


class Steps:
    """A budget of work; every day and every time that is examined costs one step."""

    def __init__(self, limit: int) -> None:
        self.limit = self.left = limit

    def spend(self) -> None:
        """Spends one step. Raises StepsExhausted when none is left."""
        if self.left <= 0:
            raise StepsExhausted
        self.left -= 1


class StepsExhausted(Exception):
    """The rule was evaluated for the allowed number of steps without firing."""


class _Counted(tuple[int, ...]):
    """One of a rule's sets, which counts steps: dateutil tests its truth value at every step."""

    steps: Steps

    def __bool__(self) -> bool:
        self.steps.spend()
        return len(self) > 0


def fire_times(rule: rrule, steps: Steps) -> Iterator[datetime]:
    """Yields the fire times of the rule from its start, to the end of dateutil's calendar. Raises StepsExhausted."""
    counted: Any = rule.replace()
    for name in ("_bymonth", "_byhour"):
        given = _Counted(getattr(counted, name) or ())
        given.steps = steps
        setattr(counted, name, given)
    try:
        for at in counted:
            steps.spend()
            yield at
    except (ValueError, OverflowError):  # the year 10000
        return


def has_dtstart(text: str) -> bool:
    """Whether the rule has a DTSTART."""
    return "DTSTART" in text.upper()


def has_utc_dtstart(text: str) -> bool:
    """Whether the rule's own DTSTART is in UTC (`Z`)."""
    return any("Z" in word.partition("DTSTART:")[2] for word in text.upper().split())


def valid_rrule(text: str) -> str:
    """Returns the rule. Raises a fault if it is invalid, fires too often, or is not found to fire."""
    start, parts = _read(text)
    frequency = parts.get("FREQ", "")
    if frequency == "SECONDLY" or "," in parts.get("BYSECOND", ""):
        raise fault("fires_too_often", f"'{text}' fires more than once a minute", "FREQ=MINUTELY is the fastest")
    if frequency not in _FREQUENCIES:
        raise _invalid(text, f"FREQ is one of {', '.join(_FREQUENCIES)}")
    _within(text, parts, "INTERVAL", MAX_INTERVAL)
    _within(text, parts, "COUNT", MAX_COUNT)
    if frequency not in _FAST and _values(parts, "BYHOUR") * _values(parts, "BYMINUTE") > MAX_TIMES_A_DAY:
        hint = "FREQ=MINUTELY with an INTERVAL is shorter"
        raise fault("fires_too_often", f"'{text}' names more than {MAX_TIMES_A_DAY} times a day", hint)
    if frequency == "MINUTELY" and (slow := sorted((_OF_A_YEAR | {"BYSETPOS"}) & parts.keys())):
        hint = "FREQ=DAILY with BYHOUR and BYMINUTE can"
        raise _invalid(text, f"a rule by the minute cannot choose by {', '.join(slow)}", hint)
    _check_start(text, start, parts)
    for begins in _STARTS if start is None else [start]:
        _prove(text, begins, anywhere=start is None)
    return text


def _read(text: str) -> tuple[datetime | None, dict[str, str]]:
    """Returns the rule's own DTSTART, or None, and its parts by name."""
    if len(text) > MAX_CHARS:
        raise fault("too_long", f"A recurrence rule has at most {MAX_CHARS} characters")
    lines = [line.rpartition(":") for line in text.upper().split()]
    rules = [value for name, _, value in lines if name in ("", "RRULE")]
    starts = [value for name, _, value in lines if name == "DTSTART"]
    if len(rules) != 1 or len(starts) > 1 or len(rules) + len(starts) < len(lines):
        hint = "the time zone is given in `timezone`" if "TZID" in text.upper() else _EXAMPLE
        raise _invalid(text, "it takes one RRULE, and one DTSTART without parameters before it", hint)
    parts = [part.partition("=") for part in rules[0].split(";")]
    named = {name: value for name, _, value in parts}
    unknown = sorted(named.keys() - _PARTS)
    if unknown or len(named) < len(parts):
        raise _invalid(text, f"unknown part {unknown[0]!r}" if unknown else "a part is named twice")
    for written in (*starts, *([named["UNTIL"]] if "UNTIL" in named else [])):
        if not _TIME.fullmatch(written):
            raise _invalid(text, f"'{written}' is not a time", "write it as 20260131T093000")
    return (_dateutil(text, _STARTS[0])._dtstart if starts else None), named  # type: ignore[attr-defined]


def _check_start(text: str, start: datetime | None, parts: dict[str, str]) -> None:
    frequency = parts["FREQ"]
    if start is not None:
        earliest = 2020 if frequency in _FAST else 2000
        if not earliest <= start.year < 2100:
            hint = "use a later DTSTART on which the rule fires"
            raise fault("start_out_of_range", f"The DTSTART of '{text}' is not from {earliest} to 2099", hint)
    elif parts.get("INTERVAL", "1") != "1" and frequency in _FREE_OF_START:
        depending = {part for part in parts if part.startswith("BY")} - _FREE_OF_START[frequency]
        if depending:
            hint = "begin the rule with a DTSTART, for example DTSTART:20260105T090000"
            what = f"Whether '{text}' ever fires depends on when it begins"
            raise fault("start_needed", f"{what} ({', '.join(sorted(depending))} with an INTERVAL)", hint)


def _prove(text: str, start: datetime, *, anywhere: bool) -> None:
    rule = _dateutil(text, start)
    if anywhere:  # an end in the past is not an error of the document
        rule = rule.replace(until=None)
    steps = Steps(PROOF_STEPS)
    try:
        found = list(islice(fire_times(rule, steps), 2))
    except StepsExhausted:
        found = []
    except TypeError as error:  # raised by dateutil for an hour 25
        raise _invalid(text, str(error)) from None
    if not found:
        hint = "say the day with BYMONTHDAY or BYDAY, or begin with a DTSTART" if anywhere else ""
        raise fault("never_fires", f"'{text}' never fires, or hardly ever", hint)


def _dateutil(text: str, start: datetime) -> rrule:
    try:
        rule = rrulestr(text, dtstart=start, cache=False)
        assert isinstance(rule, rrule), "one RRULE alone is one"
        return rule
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        raise _invalid(text, str(error)) from None


def _within(text: str, parts: dict[str, str], name: str, most: int) -> None:
    value = parts.get(name, "1")
    if not (value.isascii() and value.isdigit() and len(value) < 10 and 1 <= int(value) <= most):
        raise _invalid(text, f"{name} is a number from 1 to {most:,}")


def _values(parts: dict[str, str], name: str) -> int:
    return parts.get(name, "").count(",") + 1


def _invalid(text: str, reason: str, hint: str = _EXAMPLE) -> Exception:
    return fault("invalid_rrule", f"'{text}' is not a recurrence rule: {reason}", hint)
