"""A rewritten query means the same as the author's text: DuckDB returns the same result for both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.ir.sql import Refused
from headrace.ir.sql.queries.query import query
from tests.effort import examples

QUERIES = (
    r"""
SELECT * FROM input ORDER BY i
FROM input SELECT i, t ORDER BY i
SELECT i + 1 * 2 - 3, -i, - -i, i // 2, i / 2, i % 2, i ^ 2, i ** 2, (i + 1) * 2 FROM input ORDER BY i
SELECT i NOT IN (1) = b, b = (NOT b), t NOT LIKE 'x%' = b, NOT b IS NULL FROM input ORDER BY i
SELECT i & 3, i | 1, ~i, i = 1 OR i > 2 AND NOT b, NOT b AND b, NOT i = 1 FROM input ORDER BY i
SELECT t || i || 'x', t || '''' || '\', '--', '/* */', 'a\nb' FROM input ORDER BY i
SELECT i IS NULL, i IS NOT NULL, b IS TRUE, b IS NOT FALSE, i IS DISTINCT FROM 1 FROM input ORDER BY i
SELECT i BETWEEN 1 AND 3, i NOT BETWEEN 1 AND 2 OR b, i IN (1, 2), i NOT IN (1), t IN ('x', 'it''s') FROM input
  ORDER BY i
SELECT t LIKE 'x%', t NOT LIKE '%x', t ILIKE 'X', t LIKE 'x!%' ESCAPE '!', t LIKE '%\%' FROM input ORDER BY i
SELECT CASE WHEN i > 1 THEN 'a' WHEN b THEN 'b' ELSE t END, CASE i WHEN 1 THEN 2 END FROM input ORDER BY i
SELECT i::VARCHAR, CAST(i AS DECIMAL(10, 2)), CAST(p AS DECIMAL), TRY_CAST(t AS INT), p::DOUBLE, i::INT8,
  i::HUGEINT FROM input ORDER BY i
SELECT CAST(i AS FLOAT), CAST(i AS REAL), CAST(d AS TIMESTAMP), CAST(ts AS DATE), CAST(ts AS TIMESTAMPTZ) FROM
  input ORDER BY i
SELECT DATE '2024-01-31', TIMESTAMP '2024-01-01 10:00:00', TIME '10:00', INTERVAL '1 month', INTERVAL 3 DAY FROM input
SELECT d + INTERVAL '1 month', d + INTERVAL (i) DAY, ts - INTERVAL '1' HOUR, d - DATE '2024-01-01' FROM input
  ORDER BY i
SELECT EXTRACT(year FROM d), EXTRACT(EPOCH FROM ts), date_trunc('month', d), date_part('dow', d), strftime(d,
  '%d.%m.%Y') FROM input ORDER BY i
SELECT ts AT TIME ZONE 'Europe/Berlin', date_diff('day', d, DATE '2025-01-01'), monthname(d) FROM input ORDER BY i
SELECT trim(BOTH 'x' FROM t), trim(LEADING 'x' FROM t), trim(t), ltrim(t, 'i'), substring(t FROM 2 FOR 2),
  substring(t, -2), position('t' IN t) FROM input ORDER BY i
SELECT lower(t), upper(t), length(t), replace(t, 'i', ''''), regexp_replace(t, '(i)t', '<\1>'),
  regexp_matches(t, '^x'), split_part(t, '''', 2) FROM input ORDER BY i
SELECT lpad(t, 5, '0'), rpad(t, 2, ' '), left(t, 1), right(t, -1), reverse(t), concat(t, i), concat_ws('-', t,
  i), chr(65), md5(t) FROM input ORDER BY i
SELECT coalesce(t, 'z'), nullif(i, 1), greatest(i, 2), least(i, 2), ifnull(i, 0), round(p, 1), floor(p),
  abs(i), sign(i), mod(i, 2) FROM input ORDER BY i
SELECT 1, 1.50, 0.5, 1e3, 12345678901234567890, 1_000, TRUE, NULL FROM input
SELECT [1, 2], list_value(i, 2), array_length([i]), list_contains([1, 2], i), list_extract([5, 6], 1) FROM
  input ORDER BY i
SELECT b, count(*), count(i), count(DISTINCT t), sum(i), sum(p), avg(i), min(t), max(d), median(i), stddev(i)
  FROM input GROUP BY b ORDER BY b
SELECT b, sum(i) FILTER (WHERE i > 1), string_agg(t, ',' ORDER BY i DESC), list(i ORDER BY i), arg_max(t, i),
  bool_and(b) FROM input GROUP BY ALL ORDER BY ALL
SELECT b, count(*) AS n FROM input GROUP BY b HAVING count(*) > 1 ORDER BY n DESC NULLS FIRST, b LIMIT 1 OFFSET 0
SELECT DISTINCT b FROM input ORDER BY b
SELECT DISTINCT ON (b) b, i FROM input ORDER BY b, i
SELECT i, row_number() OVER (ORDER BY i), sum(i) OVER (PARTITION BY b ORDER BY i ROWS BETWEEN 1 PRECEDING AND
  CURRENT ROW) FROM input ORDER BY i
SELECT i, lag(i, 1, 0) OVER w, first_value(t) OVER w FROM input WINDOW w AS (ORDER BY i DESC NULLS LAST) ORDER BY i
SELECT i, sum(i) OVER (ORDER BY i RANGE BETWEEN UNBOUNDED PRECEDING AND 1 FOLLOWING), ntile(2) OVER (ORDER BY
  i) FROM input ORDER BY i
SELECT i FROM input QUALIFY row_number() OVER (PARTITION BY b ORDER BY i) = 1 ORDER BY i
SELECT x.i, y.t FROM input AS x JOIN input y ON x.i = y.i AND x.b ORDER BY 1
SELECT x.i, y.t FROM input x LEFT JOIN input AS y ON x.i + 1 = y.i ORDER BY x.i
SELECT i, x.t FROM input x FULL OUTER JOIN input y USING (i) ORDER BY 1, 2
SELECT count(*) FROM input x, input y CROSS JOIN input z
SELECT i FROM input x SEMI JOIN input y ON x.i = y.i ORDER BY i
SELECT i FROM input x ANTI JOIN (SELECT i FROM input WHERE i > 1) y USING (i) ORDER BY i
SELECT * FROM input NATURAL JOIN (SELECT i, t FROM input) ORDER BY i
SELECT x.i, y.d FROM input x ASOF JOIN input y ON x.ts >= y.ts ORDER BY ALL
WITH a AS (SELECT i, t FROM input), b AS MATERIALIZED (SELECT * FROM a WHERE i > 1) SELECT b.t FROM b JOIN a
  USING (i) ORDER BY 1
WITH input AS (SELECT i FROM input WHERE i > 1) SELECT * FROM input ORDER BY 1
SELECT * FROM (WITH a AS (SELECT i FROM input) SELECT * FROM a) AS s(x) ORDER BY x
SELECT i FROM input WHERE i IN (SELECT i FROM input WHERE b) AND EXISTS (SELECT 1 FROM input y WHERE y.i =
  input.i) ORDER BY i
SELECT i, (SELECT max(i) FROM input y WHERE y.i < x.i) FROM input x ORDER BY i
SELECT i FROM input WHERE (i, t) IN ((1, 'x'), (2, 'y')) ORDER BY i
SELECT i FROM input UNION SELECT 7 ORDER BY i
SELECT i FROM input UNION ALL SELECT i FROM input EXCEPT SELECT 1 INTERSECT SELECT 1 ORDER BY 1
(SELECT i FROM input ORDER BY i LIMIT 1) UNION ALL (SELECT i FROM input ORDER BY i DESC LIMIT 1) ORDER BY 1
SELECT i FROM input UNION BY NAME SELECT t FROM input ORDER BY ALL
SELECT * EXCLUDE (t, d), 1 AS one FROM input ORDER BY i
SELECT * REPLACE (i + 1 AS i) FROM input ORDER BY i
SELECT x.*, y.i AS j FROM input x JOIN input y USING (i) ORDER BY 1
SELECT i AS "x y", t "q""uote", d AS größe FROM input ORDER BY "x y"
SELECT "I", T FROM INPUT ORDER BY I
SELECT json_extract_string('{"a": [1, "x"]}', '$.a[1]'), json_array_length('[1, 2]') FROM input
""".replace("\n  ", " ")
    .strip()
    .splitlines()
)


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE TABLE input (i BIGINT, t VARCHAR, p DECIMAL(10, 2), b BOOLEAN, d DATE, ts TIMESTAMP)")
    connection.execute("""INSERT INTO input VALUES
        (1, 'x', 1.25, true, '2024-01-31', '2024-01-31 10:30:00'), (2, 'it''s', -2.5, false, '2023-12-31', NULL),
        (3, NULL, NULL, NULL, NULL, '2024-06-30 23:59:59.5'),
        (NULL, 'a\\b%', 0.05, true, '2024-02-29', '2024-02-29')""")
    yield connection
    connection.close()


def answer(engine: Any, sql: str) -> Any:
    try:
        result = engine.execute(sql)
        return (
            [column[0] for column in result.description],
            [column[1] for column in result.description],
            result.fetchall(),
        )
    except duckdb.Error as error:
        return type(error)


@pytest.mark.parametrize("text", QUERIES)
def test_a_query_means_what_it_meant(engine: Any, text: str) -> None:
    names, types, rows = answer(engine, text)
    written = query(text)
    found = answer(engine, written.sql)
    assert (found[1], repr(found[2])) == (types, repr(rows)), written.sql
    assert len(found[0]) == len(names)
    assert query(written.sql).sql == written.sql


VALUES = st.sampled_from(["i", "t", "p", "b", "d", "1", "2.5", "'x'", "'it''s'", "NULL", "TRUE", "DATE '2024-01-01'"])
MARKS = ["+", "-", "*", "/", "%", "//", "^", "||", "=", "<>", "!=", "<", "<=", ">", ">=", "&", "|", " AND ", " or "]
OPERATORS = st.sampled_from([*MARKS, " IS DISTINCT FROM ", " IS NOT DISTINCT FROM "])
TESTS = [" IS NULL", " is not null", " IN (1, 2)", " NOT IN (1)", " BETWEEN 1 AND 2", " not between 1 and 2", "::INT"]
SUFFIXES = st.sampled_from([*TESTS, "::VARCHAR", " LIKE 'x%'", " NOT ILIKE '_'", "::DECIMAL(10,2)", " IS TRUE"])


def _grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, OPERATORS, inner).map("".join),
        st.tuples(inner, SUFFIXES).map("".join),
        inner.map(lambda each: f"({each})"),
        inner.map(lambda each: f"NOT {each}"),
        inner.map(lambda each: f"- {each}"),
        st.tuples(inner, inner, inner).map(lambda each: f"CASE WHEN {each[0]} THEN {each[1]} ELSE {each[2]} END"),
        inner.map(lambda each: f"coalesce({each}, NULL)"),
        inner.map(lambda each: f"CAST({each} AS TEXT)"),
    )


@settings(max_examples=examples(900), deadline=None)
@given(st.recursive(VALUES, _grown, max_leaves=8))
def test_any_value_of_a_query_means_what_it_meant(engine: Any, value: str) -> None:
    text = f"SELECT {value} AS v FROM input ORDER BY i"
    try:
        written = query(text).sql
    except Refused:
        return
    before = answer(engine, text)
    after = answer(engine, written)
    if isinstance(before, tuple):
        assert repr(after[1:]) == repr(before[1:]), written


@pytest.mark.parametrize("typed", ["DATE '2024-01-01'", "TIMESTAMP '2024-01-01'", "TIMESTAMPTZ '2024-01-01'"])
def test_a_cast_after_a_typed_text_is_not_read_in_two_ways(typed: str) -> None:
    with pytest.raises(Refused, match="read in two ways"):
        query(f"SELECT {typed}::VARCHAR AS v FROM input")
    assert query(f"SELECT CAST({typed} AS VARCHAR) AS v, {typed} AS w FROM input")
    assert query(
        "SELECT INTERVAL '1 day'::VARCHAR AS v, CASE WHEN TRUE THEN 'a'::VARCHAR ELSE 'b'::VARCHAR END AS w FROM input"
    )
