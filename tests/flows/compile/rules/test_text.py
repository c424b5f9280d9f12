"""`ip`, `phone`, `date`: texts in a well-known format, with surrounding blanks."""

from __future__ import annotations

import ipaddress
from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.effort import examples
from tests.flows.compile.ops.cases import Op, frame, passed, planned

TRIM: Op = {"type": "trim", "fields": ["other"]}


def failing(field: str, rule: str, values: list[Any]) -> list[Any]:
    """The values that break the rule."""
    rules = [{"field": field, "rule": rule, "onFail": "warn"}]
    made, cells, _ = passed(planned(TRIM, rules=rules), frame(**{field: values}), "check")
    assert made.height == len(values)
    return [values[cell[0] - 1] for cell in cells]


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text  # a zone means something on one machine only


groups = st.lists(st.sampled_from(["0", "1", "abcd", "FFFF", "12345", "", "g"]), min_size=1, max_size=9)
addresses = (
    st.ip_addresses().map(str)
    | st.ip_addresses(v=6).map(lambda address: address.exploded)
    | groups.map(":".join)
    | st.tuples(groups, groups).map(lambda pair: ":".join(pair[0]) + "::" + ":".join(pair[1]))
    | st.tuples(groups, st.ip_addresses(v=4)).map(lambda pair: "::" + ":".join(pair[0]) + f":{pair[1]}")
    | st.lists(st.sampled_from(["0", "00", "1", "255", "256", "-1", ""]), min_size=3, max_size=5).map(".".join)
    | st.text(max_size=10)
)


@settings(max_examples=examples(100))
@given(st.lists(addresses.filter(lambda text: "\0" not in text), min_size=1, max_size=20))
def test_an_ip_address_is_what_python_takes_for_one(texts: list[str]) -> None:
    assert failing("text", "ip", texts) == [text for text in texts if not is_address(text)]


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (
            "phone",
            ["+49 221 987654", "+1 (555) 010-9999", "(0221) 98 76 54", "02219876", "+442079460958", " 555.010.9999 "],
            ["", "12345", "+49", "call 02219876", "0221987654x1", "++49221987654", "1234567890123456", "٠٢٢١٩٨٧٦"],
        ),
        ("date", ["2024-02-29", "", " ", " 2024-02-29 "], ["2023-02-29", "29.02.2024", "x", "20240229"]),
        ("date:%d.%m.%Y", ["29.02.2024", "1.1.2024"], ["2024-02-29", "29.02.2023", "x"]),
        ("date:%b %d, %Y", ["Feb 29, 2024"], ["29 Feb 2024"]),
    ],
)
def test_good_is_reported_from_bad_and_null_passes(rule: str, good: list[str], bad: list[str]) -> None:
    assert failing("text", rule, [*good, *bad, None]) == bad


def test_a_column_of_dates_is_all_dates() -> None:
    assert failing("day", "date", [date(2024, 2, 29), None]) == []
    assert failing("stamp", "date", [datetime(2024, 2, 29, 8, 30), None]) == []


@pytest.mark.parametrize(
    ("field", "rule", "code"),
    [
        ("id", "phone", "rule_type"),
        ("id", "ip", "rule_type"),
        ("id", "date", "rule_type"),
        ("text", "date:%Q", "rule_arguments"),
        ("text", "date:%d.%m", "rule_arguments"),
        ("text", "date:%H:%M", "rule_arguments"),
        ("txt", "unique", "unknown_column"),
    ],
)
def test_what_cannot_be_evaluated_is_reported_when_the_pipeline_is_saved(field: str, rule: str, code: str) -> None:
    plan = planned(TRIM, rules=[{"field": field, "rule": rule}])
    assert [each.code for each in plan.problems] == [code]
    assert plan.problems[0].hint
