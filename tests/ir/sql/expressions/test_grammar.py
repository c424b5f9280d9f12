"""Invalid expressions and queries are reported with the reason and a suggestion."""

from __future__ import annotations

import pytest

from headrace.ir.sql import Refused, expression
from headrace.ir.sql.queries.query import query


@pytest.mark.parametrize(
    ("sql", "code", "message", "hint"),
    [
        ("uper(t)", "invalid_expression", "There is no function 'uper' in expressions", "did you mean 'UPPER'?"),
        ("a::itn", "invalid_expression", "There is no type 'itn' to cast to", "did you mean 'INT'?"),
        ("sum(a)", "not_row_local", "'sum' is an aggregate, which needs more than one row", "use only this row's"),
        ("lag(a) over (order by a)", "not_row_local", "'lag' is a window function", "use only this row's"),
        ("exists(select 1)", "not_row_local", "A subquery is not allowed", "use only this row's"),
        ("a in (values (1))", "not_row_local", "A subquery is not allowed", "use only this row's"),
        ("a -- all of it", "invalid_expression", "-- is not allowed in an expression: write texts as '…'", ""),
        ("a /* of it */", "invalid_expression", "/* is not allowed", ""),
        ("a || $$x$$", "invalid_expression", "$$ is not allowed", ""),
        ("a || E'x'", "invalid_expression", "E' is not allowed", ""),
        ("a as b", "invalid_expression", "AS is not allowed in an expression", "the op names the column"),
        ("a isnull", "invalid_expression", "'isnull' is not allowed", "write IS NULL or IS NOT NULL"),
        ("a = any(l)", "invalid_expression", "ANY is not allowed", "use IN (…), or ARRAY_CONTAINS(list, value)"),
        ('"upper"(t)', "invalid_expression", "'upper' does not name a function", "functions have no quotes: upper(…)"),
        ("a +", "invalid_expression", "The expression ends where a value is expected", ""),
        ("a b", "invalid_expression", "'b' is not expected here", ""),
        ("a = 'x", "invalid_expression", "A text that begins at character 5 does not end", "close it with '"),
        ("t like u", "invalid_expression", "The pattern of LIKE is not a text, but 'u'", "write it as '…'"),
        ("lpad(t, a)", "invalid_expression", "LPAD takes a whole number, written out", "write it as digits: 10"),
        ("round(a, 1, 2)", "invalid_expression", "ROUND takes 1 to 2 arguments, not 3", ""),
        ("date_part('yaer', d)", "invalid_expression", "'yaer' is not a part of a date", "did you mean 'YEAR'?"),
        ("cast(a as decimal(50, 2))", "invalid_expression", "A decimal has 1 to 38 digits", "write DECIMAL("),
        ("1_000", "invalid_expression", "'1_000' is not a number", ""),
        ("a # b", "invalid_expression", "'#' at character 3 is not valid here", "put names into double quotes"),
        ("lpad(t, 20000)", "expression_too_large", "LPAD pads to at most 10,000 characters", "use fewer"),
    ],
)
def test_a_refusal_of_an_expression_says_why(sql: str, code: str, message: str, hint: str) -> None:
    with pytest.raises(Refused) as refused:
        expression(sql)
    assert refused.value.code == code
    assert refused.value.message.startswith(message)
    assert refused.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("SELECT uper(t) FROM input", "There is no function 'uper' in a query", "did you mean 'upper'?"),
        ("SELECT now() FROM input", "There is no function 'now' in a query", "queries are deterministic"),
        ("SELECT * FROM other", "'other' is not 'input', the only table", "one SELECT over the table 'input'"),
        ("SELECT t ~ 'x' FROM input", "~ and SIMILAR TO are not allowed in a query", "write regexp_matches("),
        ("SELECT t ->> 'x' FROM input", "-> and ->> are not allowed in a query", "write json_extract_string("),
        ("SELECT t FROM input -- x", "Comments are not allowed in a query", "take them out"),
        ("SELECT unnest(l) FROM input", "There is no function 'unnest' in a query", "use the op explode"),
        ("SELECT repeat(t, 3) FROM input", "There is no function 'repeat' in a query", "use lpad or rpad"),
        ("DROP TABLE input", "It is not one SELECT", "one SELECT over the table 'input'"),
    ],
)
def test_a_refusal_of_a_query_says_why(text: str, message: str, hint: str) -> None:
    with pytest.raises(Refused) as refused:
        query(text)
    assert refused.value.code == "query_refused"
    assert refused.value.message.startswith(message)
    assert refused.value.hint.startswith(hint)


def test_what_only_looks_like_a_query_is_allowed() -> None:
    for sql in ("a = 'select'", "a = 'it''s -- no comment /* */ $$'", '"select" = 1', "values + 1", "a - -1", "a||'x'"):
        expression(sql)


def test_the_columns_and_patterns_of_an_expression_are_known() -> None:
    tree = expression("a ~ 'x+' AND regexp_like(b, 'y') OR a LIKE 'z%' AND \"c\".d = 1")
    assert tree.columns == ("a", "b", "c")
    assert tree.patterns == ("x+", "y")
