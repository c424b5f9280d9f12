"""The arguments of a rule survive a round trip through its text, with any characters."""

from __future__ import annotations

import csv
from contextlib import suppress
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from headrace.ir.rules import RULES, Affix, Between, Compare, IsDate, Matches, Member, SqlCondition, parse_rule

# A line end ends a rule's list; blanks around a value do not belong to it.
value = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
trimmed = value.map(str.strip).filter(bool)


def written(*values: str) -> str:
    text = StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="").writerow(values)
    return text.getvalue()


@given(st.lists(trimmed, min_size=1, max_size=5))
def test_a_quoted_list_keeps_commas_colons_and_quotes(values: list[str]) -> None:
    assert parse_rule("in:" + written(*values)) == Member(tuple(values), negated=False)
    assert parse_rule("not_in:" + written(*values)) == Member(tuple(values), negated=True)


@given(trimmed, trimmed)
def test_bounds_may_hold_anything_when_quoted(low: str, high: str) -> None:
    assert parse_rule("between:" + written(low, high)) == Between(low, high)


@given(value)
def test_a_single_argument_is_all_that_is_after_the_colon(text: str) -> None:
    assert parse_rule("regex:" + text) == Matches(text)
    assert parse_rule("expr:" + text) == SqlCondition(text)
    assert parse_rule("starts_with:" + text) == Affix(prefix=text)
    assert parse_rule("ends_with:" + text) == Affix(suffix=text)


@given(trimmed)
def test_a_literal_is_taken_without_the_blanks_around_it(text: str) -> None:
    assert parse_rule(f"eq: {text} ") == Compare("eq", text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("between:2024-01-01,2024-12-31", Between("2024-01-01", "2024-12-31")),
        ("between:08:30:00,17:45:00", Between("08:30:00", "17:45:00")),
        ("between:2024-01-01T08:00:00Z,2024-01-02T08:00:00Z", Between("2024-01-01T08:00:00Z", "2024-01-02T08:00:00Z")),
        ("gte:2024-01-01 08:30:00", Compare("gte", "2024-01-01 08:30:00")),
        ('in:"a,b",c', Member(("a,b", "c"), negated=False)),
        ('in:"say ""hi""", x', Member(('say "hi"', "x"), negated=False)),
        ("in:a:b,c", Member(("a:b", "c"), negated=False)),
        ("in:5\" nail,6'", Member(('5" nail', "6'"), negated=False)),
        ("regex:^a{1,3}:[,\"']$", Matches("^a{1,3}:[,\"']$")),
        ("date:%d.%m.%Y", IsDate("%d.%m.%Y")),
        ("date:%H:%M, %d %b %Y", IsDate("%H:%M, %d %b %Y")),
        ("date", IsDate()),
    ],
)
def test_arguments_with_commas_colons_and_quotes(text: str, rule: object) -> None:
    assert parse_rule(text) == rule


@given(st.sampled_from(sorted(RULES)), st.text(max_size=30))
def test_any_text_after_any_name_is_a_rule_or_a_fault(name: str, text: str) -> None:
    # Anything but a fault would fail the test, and the request with a 500.
    with suppress(PydanticCustomError):
        parse_rule(f"{name}:{text}")


@pytest.mark.parametrize("text", ['in:"a', "in:a\nb", 'in:"a"b,c'])
def test_a_list_that_cannot_be_read_whole_is_refused(text: str) -> None:
    with pytest.raises(PydanticCustomError) as raised:
        parse_rule(text)
    assert raised.value.type == "rule_arguments"
