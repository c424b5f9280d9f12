"""Patterns of names: `*`, `?`, and nothing else that means something."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.ir.replication.patterns import any_matches, matches

PIECES = st.lists(st.sampled_from(["*", "?", "a", "b", ".", "ä", "\n"]), max_size=12).map("".join)
NAMES = st.lists(st.sampled_from(["a", "b", ".", "ä", "\n"]), max_size=14).map("".join)


@given(PIECES, NAMES)
def test_stars_and_question_marks_are_as_in_a_shell(pattern: str, name: str) -> None:
    assert matches(pattern, name) == fnmatch.fnmatchcase(name, pattern)


@pytest.mark.parametrize("odd", ["[a]", "a\\b", "(x)", "^a$", "a|b", "{a,b}", "a+"])
def test_everything_else_is_itself(odd: str) -> None:
    assert matches(odd, odd)
    assert not matches(odd, "a")
    assert matches(f"{odd}*", f"{odd}.orders")


def test_many_stars_take_no_longer_than_the_product_of_both_lengths() -> None:
    assert not matches("*a" * 200, "a" * 199 + "b")
    assert matches("*a" * 100 + "*", "a" * 2000)


def test_names_are_reported_apart_by_case() -> None:
    assert not matches("Sales.*", "sales.orders")
    assert any_matches(("x", "sales.*"), "sales.orders")
    assert not any_matches((), "sales.orders")
