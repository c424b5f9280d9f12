"""mask_pii: the visible part of a value for each strategy."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.flows.compile import logical_plan
from headrace.ir import parse_ir
from headrace.ir.schema import Field
from tests.flows.pipelines import document


def masked(strategy: str, values: pl.Series, secrets: dict[str, Any] | None = None, **op: Any) -> pl.Series:
    """The column after the op."""
    kind = "bigint" if values.dtype.is_integer() else "text"
    parsed = parse_ir(document([{"type": "mask_pii", "field": "a", "strategy": strategy, **op}]))
    assert parsed.ir is not None, parsed.problems
    plan = logical_plan(parsed.ir, {"src": (Field("a", kind),)}, {}, secrets=secrets or {})
    assert not plan.problems, plan.problems
    (step,) = plan.nodes["clean"].steps
    return step.apply(values.alias("a").to_frame().lazy()).collect()["a"]


@pytest.mark.parametrize(
    ("strategy", "values"),
    [
        ("redact", {"Ann": "***", "": "***"}),
        ("partial", {"Annabel": "A*****l", "Änne": "Ä**e", "Ann": "***", "A": "*", "": "", "a\nbc": "a**c"}),
        (
            "email",
            {
                "ann.smith@example.com": "a***@example.com",
                "a@b.c": "a***@b.c",
                "no address": "***",
                "@x": "***",
                "a@b@c": "***",
                "ann@": "***",
            },
        ),
        (
            "phone",
            {
                "+1 (555) 123-4567": "+* (***) ***-4567",
                "5551234567": "******4567",
                "1234": "****",
                "ask Bob 5551234": "*** *** ***1234",
                "5551234 x Bob": "***1234 * ***",
                "": "",
            },
        ),
        ("last4", {"4111111111111111": "************1111", "1234": "****", "12": "**", "12345": "*2345"}),
    ],
)
def test_only_so_much_is_left(strategy: str, values: dict[str, str]) -> None:
    given_values = pl.Series([*values, None], dtype=pl.String)
    assert masked(strategy, given_values).to_list() == [*values.values(), None]


def test_null_empties_the_column_and_keeps_its_type() -> None:
    out = masked("null", pl.Series([1, 2]))
    assert (out.to_list(), out.dtype) == ([None, None], pl.Int64)


def test_numbers_become_masked_text() -> None:
    assert masked("last4", pl.Series([123456789])).to_list() == ["*****6789"]


def test_equal_values_get_equal_tokens_that_depend_on_the_secret() -> None:
    values = pl.Series(["Ann", "Bob", "Ann", None])
    plain = masked("tokenize", values).to_list()
    assert plain[0] == plain[2] == "tok_" + hashlib.sha256(b"Ann").hexdigest()[:32]
    assert plain[1] != plain[0]
    assert plain[3] is None
    salted = masked("tokenize", values, {"salt": "a salt of the example"}, salt="${credentials.salt}").to_list()
    assert salted[0] == "tok_" + hmac.new(b"a salt of the example", b"Ann", hashlib.sha256).hexdigest()[:32]


@given(st.lists(st.text(alphabet=st.characters(blacklist_categories=("Cs",)), min_size=5, max_size=30), min_size=1))
def test_no_strategy_shows_a_whole_value(values: list[str]) -> None:
    given_values = pl.Series([value + "-secret-" + value for value in values])
    for strategy in ("redact", "partial", "email", "last4", "tokenize"):
        shown = masked(strategy, given_values)
        assert not any("secret" in text for text in shown), strategy


def test_a_salt_belongs_to_tokens() -> None:
    op = {"type": "mask_pii", "field": "a", "strategy": "redact", "salt": "${credentials.salt}"}
    (problem,) = parse_ir(document([op])).problems
    assert problem.code == "salt_without_token"
