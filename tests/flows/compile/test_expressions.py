"""An expression means the same as the author's text in polars' SQL, though polars never parses that text."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.exceptions import PolarsError
from polars.testing import assert_series_equal

from headrace.flows.compile.scope import PlanError, Scope
from headrace.ir.sql import Refused, Tree, expression
from headrace.ir.sql.expressions.functions import (
    BOOLEAN,
    COUNT,
    FUNCTIONS,
    LIST,
    LITERAL,
    NUMBER,
    PART,
    PATTERN,
    TEXT,
    TIME,
)
from tests.effort import examples

ROWS = pl.DataFrame(
    {
        "a": pl.Series([1, -2, None, 7], dtype=pl.Int64),
        "b": pl.Series([3, 0, 5, None], dtype=pl.Int32),
        "f": [1.5, float("nan"), None, -0.0],
        "p": pl.Series([Decimal("1.10"), Decimal("-2.25"), None, Decimal("0.00")], dtype=pl.Decimal(10, 2)),
        "t": ["x", "it's", None, "a\\b%_"],
        "u": ["  X ", "", "é", None],
        "größe": ["g", "h", "i", "j"],
        'quo"te': [1, 2, 3, 4],
        "tick`": [1, 2, 3, 4],
        "end": [1, 2, 3, 4],
        "select": [1, 2, 3, 4],
        "y": [True, False, None, True],
        "n": [False, True, True, None],
        "d": [date(2024, 1, 1), date(2023, 12, 31), None, date(2024, 2, 29)],
        "ts": [datetime(2024, 1, 1, 10, 30), datetime(2023, 1, 1), None, datetime(2024, 2, 29, 23, 59, 59)],
        "c": [time(10, 0), None, time(0, 0, 1), time(23, 59)],
        "l": [[1, 2], [], None, [3]],
    }
)

CORPUS = r"""
a
"a"
`a`
größe
"quo""te" + 1
`tick``` * 2
"select" = 1
1
-1
+1
- -1
1.50
.5
1e3
12345678901234567890
'x'
'it''s'
'a\b'
'--'
'/* */'
'$$ select from'
''
null
true
a + b * 2
(a + b) * 2
a - b - 1
a - (b - 1)
a / b
a // 2
a % 3 * 2
-a * 2
- a + b
a + -b
a || t
a || b || t
a + b || t
a * b || t
-a || b
t || '-' || u
a & 1
a | b & 1
a xor b
a = b
a == b
a <> b
a != b
a < b and b < 3
a <=> b
a = b or a > 1 and not y
not a = b
not y and n
not not y
y or n and not y or n
a = 1 = true
a < b = true
a is null
a is not null
y is true
y is not false
a is distinct from b
a is not distinct from b
a is distinct from b and y
not a is null
a is null = n
a between 1 and 3
a not between 1 and 3 or y
a between b - 1 and b + 1 and y
a between 1 and 2 = y
a in (1, 2, -2)
a not in (7)
a in (1, null)
a in (b, 1)
a in (1) = y
t in ('x', 'it''s')
not a in (1)
d in (date '2024-01-01')
t like 'x%'
t like '%''%'
t like 'a_b'
t not like '%x'
t ilike 'X'
t not ilike 'x%'
t ~ '^[a-z]+$'
t ~* 'X'
t !~ 'x'
t !~* 'X'
t ~~ 'x%'
t !~~ 'x'
t rlike 'x|i'
t not rlike 'x'
t regexp '\\'
t ^@ 'i'
t like 'x' or a > 1
a = 1 and t like 'x%' or y
a::int
a::varchar || '!'
-a::int
a::varchar::int + 1
cast(a as decimal(10, 2))
cast(p as double precision)
cast(p as decimal(5))
cast(a as bigint unsigned)
cast(a as varchar(1))
cast(d as timestamp)
cast(ts as date) > '2023-06-01'
cast(t as bytea)
cast(y as int)
cast(l as varchar[])
cast(ts as timestamp with time zone)
cast(ts as timestamp(3))
try_cast(t as int)
try_cast(t as decimal(10,2))
safe_cast(u as double)
case when a > 1 then 'x' else 'y' end
case when a > 1 then 1 when y then 2 end
case a when 1 then 'one' when -2 then t else null end
case when y then case when n then 1 else 2 end else 3 end
case when a > 1 then 1 else 2 end::varchar
d > date '2023-12-31'
ts >= timestamp '2024-01-01 00:00:00'
ts < timestamp '2024-01-01 00:00'
c = time '10:00:00'
datetime '2024-01-01 10:00:00'
timestamp with time zone '2024-01-01 10:00:00+01:00'
d + interval '1 day'
ts - interval '1h 30m'
ts + interval 5 minutes
ts + interval '2' day
extract(year from d)
extract(epoch from ts)
extract(dow from ts) + 1
date_part('month', d)
date_part('HOUR', ts)
position('t' in t)
substring(t from 2 for 2)
substring(t from 2)
substring(t, 1, 2)
trim(u)
trim(both 'x' from t)
trim(leading ' ' from u)
trim('x' from t)
normalize(u, nfkd)
ARRAY[1, 2]
ARRAY['x', 'it''s']
[1, 2]
array[1, 2][1]
l[1]
coalesce(t, u, 'z')
Upper(T)
COALESCE ( a , b )
round(p, 1)
round(f)
left(t, 2)
left(t, -1)
left(t, a)
right(t, a)
substr(t, a)
lpad(t, 5, '0')
replace(t, 'i', '''')
regexp_replace(t, '(i)t', '<$1>')
regexp_replace(t, 'X', 'y', 'gi')
regexp_like(t, 'X', 'i')
split_part(t, '\', 2)
nullif(a, 1)
if(y, a, b)
greatest(a, b, 2)
concat_ws('-', t, u, a)
string_to_array(t, '''')
array_to_string(l, ',', 'none')
strftime(d, '%d.%m.%Y')
date('2024-01-01')
strptime('2024', '%Y')
pi() * 2
sum / 2
""".strip().splitlines()


def parenthesised(tree: Tree) -> str:
    """The expression with the bounds of every operator written out."""
    texts: list[str] = []
    for node in tree.nodes:
        text = "".join(each if isinstance(each, str) else texts[each] for each in node.written)
        wrapped = node.kind in ("operator", "not", "between", "in", "match", "is")
        texts.append(f"({text})" if wrapped else text)
    return texts[-1]


def outcome(expr: pl.Expr, frame: pl.DataFrame) -> Any:
    try:
        return frame.select(expr.alias("value")).to_series()
    except (PolarsError, pl.exceptions.PanicException) as error:
        return type(error)


def check_same(text: str, tree: Tree) -> None:
    old, new = pl.sql_expr(text), pl.sql_expr(tree.sql)
    assert new.meta.eq(old), (text, tree.sql)
    assert pl.sql_expr(parenthesised(tree)).meta.eq(old), (text, parenthesised(tree))


@pytest.mark.parametrize("text", CORPUS)
def test_an_expression_means_what_it_meant(text: str) -> None:
    tree = expression(text)
    check_same(text, tree)
    before, after = (outcome(pl.sql_expr(each), ROWS) for each in (text, tree.sql))
    if isinstance(before, pl.Series):
        assert_series_equal(before, after)
    else:
        assert before is after


ARGUMENTS = {TEXT: "t", NUMBER: "a", BOOLEAN: "y", TIME: "ts", LIST: "l", COUNT: "2", PATTERN: "'x'", PART: "'year'"}


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_means_what_it_meant(name: str) -> None:
    function = FUNCTIONS[name]
    for many in range(function.least, len(function.takes) + 2 * function.more + 1):
        letter = "'i'" if name.startswith("REGEXP") else "'x'" if name.endswith("PAD") else "'%Y'"
        given = [
            ARGUMENTS.get(function.argument(n), letter if function.argument(n) == LITERAL else "a") for n in range(many)
        ]
        text = f"{name.lower()}({', '.join(given)})"
        if not function.takes and name not in ("PI",):
            expression(text)  # the clock's: another value each time
            continue
        check_same(text, expression(text))


NAMES = st.sampled_from(["a", "b", '"a"', "`b`", "größe", '"quo""te"'])
VALUES = st.sampled_from(["1", "-2", "2.5", "1e2", "'x'", "'it''s'", "'\\'", "null", "true", "DATE '2024-01-01'"])
MARKS = ["+", "-", "*", "/", "%", "//", "||", "&", "|", "=", "==", "<>", "!=", "<", "<=", ">", ">=", "<=>"]
OPERATORS = st.sampled_from([*MARKS, " xor ", " and ", " OR ", " And ", " is distinct from "])
TESTS = [" is null", " IS NOT NULL", " in (1, 2)", " not in ('x')", " between 1 and 2", " not between a and b"]
SUFFIXES = st.sampled_from([*TESTS, " like 'x%'", " not ilike '_'", "::int", "::varchar(3)", " ~ 'x'", " is true"])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, OPERATORS, inner).map("".join),
        st.tuples(inner, st.sampled_from([" ", "\n"]), OPERATORS, st.just(" "), inner).map("".join),
        st.tuples(inner, SUFFIXES).map("".join),
        inner.map(lambda each: f"({each})"),
        inner.map(lambda each: f"not {each}"),
        inner.map(lambda each: f"- {each}"),
        st.tuples(inner, inner, inner).map(lambda each: f"case when {each[0]} then {each[1]} else {each[2]} end"),
        st.tuples(inner, inner).map(lambda each: f"coalesce({each[0]},{each[1]})"),
        inner.map(lambda each: f"cast({each} as text)"),
        inner.map(lambda each: f"upper({each})"),
    )


@settings(max_examples=examples(900))
@given(st.recursive(st.one_of(NAMES, VALUES), _grown, max_leaves=12))
def test_any_expression_means_what_it_meant(text: str) -> None:
    try:
        tree = expression(text)
    except Refused as refused:
        # comments are the one thing that such a text can hold besides
        assert "--" in text or "//*" in text or "/*" in text, (text, refused.message)  # noqa: PT017
        return
    try:
        pl.sql_expr(text)
    except PolarsError:
        with pytest.raises(PolarsError):
            pl.sql_expr(tree.sql)
        return
    check_same(text, tree)


def typed(sql: str, **columns: pl.DataType) -> pl.DataType:
    return Scope("n", "nodes[0]", pl.Schema(columns or dict(ROWS.schema))).expression(sql, "expression")[1]


@pytest.mark.parametrize("text", [text for text in CORPUS if not text.startswith("sum")])
def test_the_type_that_is_reported_is_the_one_that_comes(text: str) -> None:
    made = outcome(pl.sql_expr(expression(text).sql), ROWS)
    if not isinstance(made, pl.Series):
        pytest.skip("its values cannot be computed for these rows")
    try:
        assert typed(text) == made.dtype
    except PlanError as error:
        assert text.startswith(("strptime", "date(")), error  # noqa: PT017


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("upper(p)", "expected `String`"),
        ("t > 1", "cannot compare string with numeric type"),
        ("t ~ '['", "unclosed character class"),
        ("regexp_replace(t, '(', 'b')", "unclosed group"),
        ("year(t)", "operation not supported for dtype `str`"),
        ("cast('abc' as int)", "conversion from `str` to `i32` failed"),
        ("a + t", "not allowed"),
        ("t and y", "not supported"),
        ("strftime(d, '%Q')", "cannot format Date"),
        ("case when a then 1 end", "expected `Boolean`"),
        ("lpad(t, 3, 'xy')", "single character"),
    ],
)
def test_what_an_expression_cannot_do_is_reported_when_it_is_saved(sql: str, says: str) -> None:
    with pytest.raises(PlanError) as reported:
        typed(sql)
    assert says in reported.value.problem.message
