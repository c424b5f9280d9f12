"""A rule's string form parses to typed data."""

from __future__ import annotations

import pytest
from pydantic_core import PydanticCustomError

from headrace.ir.rules import (
    Affix,
    Between,
    Compare,
    Length,
    Matches,
    Member,
    OfType,
    Present,
    Rule,
    SqlCondition,
    parse_rule,
)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("not_null", Present(empty_counts=False)),
        ("not_empty", Present(empty_counts=True)),
        ("gt:0", Compare("gt", "0")),
        ("eq: a:b", Compare("eq", "a:b")),
        ("between:-10, 20.5", Between("-10", "20.5")),
        ('in:a,"b,c",d', Member(("a", "b,c", "d"), negated=False)),
        ("not_in:1,2", Member(("1", "2"), negated=True)),
        ("regex:^a{2,3}:x$", Matches("^a{2,3}:x$")),
        ("min_length:2", Length(minimum=2)),
        ("max_length:10", Length(maximum=10)),
        ("starts_with:N", Affix(prefix="N")),
        ("ends_with:.com", Affix(suffix=".com")),
        ("type:integer", OfType("integer")),
        ("expr:a < b", SqlCondition("a < b")),
    ],
)
def test_a_rule_is_read(text: str, rule: Rule) -> None:
    assert parse_rule(text) == rule


@pytest.mark.parametrize(
    "text", ["", "gt", "gt:", "not_null:1", "between:1,2,3", "min_length:-1", "min_length:x", "nope:1", "email:x"]
)
def test_a_rule_that_cannot_be_read_says_what_to_write(text: str) -> None:
    with pytest.raises(PydanticCustomError) as raised:
        parse_rule(text)
    assert raised.value.context
    assert raised.value.context["hint"]
