"""The published descriptions of rules match the parser."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from headrace.ir.rules import RULES, parse_rule
from headrace.ir.rules.syntax import FORMS, rule_pattern

arguments = st.sampled_from(["", " ", "1", " 7 ", "a,b", "%d", "integer", "ds_x.id", "\n", '"a,b",c']) | st.text(
    max_size=6
)
texts = st.builds("{}{}{}{}{}".format, st.sampled_from(["", " "]), st.sampled_from(sorted(RULES)),
                  st.sampled_from(["", " "]), st.sampled_from(["", ":", " : "]), arguments)  # fmt: skip


def test_every_rule_has_a_form_and_its_example_is_one() -> None:
    assert list(FORMS) == list(RULES)
    for name, form in FORMS.items():
        parse_rule(form.example)
        assert form.example.partition(":")[0] == name
        assert re.search(rule_pattern(), form.example)


@given(texts)
def test_what_is_a_rule_matches_the_pattern(text: str) -> None:
    try:
        parse_rule(text)
    except PydanticCustomError:
        return
    assert re.search(rule_pattern(), text)


def test_what_is_none_does_not() -> None:
    for text in (
        "",
        "gt",
        "gtt:0",
        "email:x",
        "not_null:",
        "between:1",
        "type:number",
        "min_length:x",
        "exists:a",
        "date:x",
    ):
        assert not re.search(rule_pattern(), text), text
