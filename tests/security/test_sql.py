# ruff: noqa: RUF001 - letters that only look like others are among the attacks
"""An author's text is never executed: no access to files, addresses or the machine, and bounded results."""

from __future__ import annotations

import re
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from polars.exceptions import PolarsError
from pydantic_core import PydanticCustomError

from headrace.api.app import BASE_PATH
from headrace.flows.query import result_columns
from headrace.ir.sql import Refused, expression
from headrace.ir.sql.expressions import bounds as expression_bounds
from headrace.ir.sql.expressions.grammar import MAX_BRANCHES, MAX_OPERATORS
from headrace.ir.sql.expressions.reader import MAX_DEPTH
from headrace.ir.sql.queries.query import query
from headrace.ir.statements import admin_statement
from tests.api.conftest import IR, Facade
from tests.effort import examples
from tests.security.sql_watched import SECRET, Watched, watched

GIGABYTE = 1024 * 1024  # in the unit of ru_maxrss

# Each with {csv}, {json} and {url} of what must not be touched.
QUERIES = """
SELECT CAST(z.column_0 AS BIGINT) AS v FROM (SELECT 1 AS a WHERE 1=1) AS q, "read_csv"('{json}', separator => ';') AS z
SELECT * FROM read_csv('{csv}')
SELECT * FROM "read_csv"('{csv}')
SELECT * FROM `read_csv`('{csv}')
SELECT * FROM read_csv_auto('{csv}')
SELECT * FROM READ_CSV('{csv}') AS input
SELECT * FROM (read_csv('{csv}'))
SELECT * FROM main.read_csv('{csv}')
SELECT * FROM system.main.read_csv('{csv}')
SELECT * FROM read_json('{json}')
SELECT * FROM read_text('{csv}')
SELECT * FROM read_blob('{csv}')
SELECT * FROM read_parquet('{csv}')
SELECT * FROM scan_csv('{csv}')
SELECT * FROM sniff_csv('{csv}')
SELECT * FROM glob('{csv}')
SELECT * FROM query('SELECT 1')
SELECT * FROM query_table('input')
SELECT * FROM '{csv}'
SELECT * FROM "{csv}"
SELECT * FROM '{url}'
SELECT * FROM read_csv('{url}')
FROM read_csv('{csv}')
FROM '{csv}' SELECT *
TABLE "{csv}"
SELECT * FROM input, read_csv('{csv}')
SELECT * FROM input JOIN read_csv('{csv}') ON true
SELECT * FROM input CROSS JOIN '{csv}'
SELECT * FROM input NATURAL JOIN "{csv}"
SELECT * FROM input, LATERAL (SELECT * FROM read_csv('{csv}'))
SELECT * FROM input, LATERAL read_csv('{csv}')
SELECT * FROM input POSITIONAL JOIN "{csv}"
SELECT (SELECT a FROM read_csv('{csv}')) FROM input
SELECT EXISTS (FROM read_csv('{csv}')) FROM input
SELECT a FROM input WHERE a IN (SELECT a FROM '{csv}')
SELECT a FROM input WHERE a = ANY(SELECT a FROM '{csv}')
SELECT a FROM input GROUP BY (SELECT a FROM '{csv}')
SELECT a FROM input ORDER BY (SELECT a FROM '{csv}')
SELECT a FROM input LIMIT (SELECT a FROM '{csv}')
SELECT a FROM input QUALIFY EXISTS (FROM '{csv}')
SELECT a FROM input UNION ALL SELECT a FROM '{csv}'
SELECT a FROM input UNION ALL FROM '{csv}'
SELECT sum(a) FILTER (WHERE EXISTS (FROM '{csv}')) FROM input
SELECT row_number() OVER (ORDER BY (SELECT a FROM '{csv}')) FROM input
SELECT CASE WHEN EXISTS (FROM '{csv}') THEN 1 END FROM input
SELECT * REPLACE ((SELECT a FROM '{csv}') AS a) FROM input
WITH read_csv AS (SELECT a FROM input) SELECT * FROM read_csv('{csv}')
WITH "{csv}" AS (SELECT 1 AS a) SELECT * FROM (SELECT * FROM "{csv}") UNION ALL (SELECT * FROM '{json}')
WITH x AS (WITH "{csv}" AS (SELECT 1 AS a) SELECT * FROM "{csv}") SELECT * FROM "{csv}"
WITH x AS (SELECT * FROM "{csv}"), "{csv}" AS (SELECT 1 AS a) SELECT * FROM x
WITH x AS (SELECT * FROM '{csv}') SELECT 1
WITH RECURSIVE r AS (SELECT 1 AS a UNION ALL SELECT a + 1 FROM r) SELECT * FROM r
VALUES (1)
SELECT * FROM (VALUES (1)) AS v
SELECT unnest([1, 2]) FROM input
SELECT * FROM unnest([1, 2])
SELECT * FROM range(10)
SELECT * FROM generate_series(1, 1000000000000)
PIVOT input ON a USING sum(a)
SELECT * FROM input PIVOT (sum(a) FOR a IN (1))
UNPIVOT input ON a
SELECT * FROM input TABLESAMPLE 10%
SELECT * FROM input USING SAMPLE 10
SUMMARIZE input
DESCRIBE input
SHOW TABLES
EXPLAIN SELECT 1
PRAGMA database_list
SET threads = 1
RESET threads
CALL pragma_version()
ATTACH '{csv}' AS x
DETACH x
USE main
LOAD httpfs
INSTALL httpfs
IMPORT DATABASE '{csv}'
EXPORT DATABASE '{csv}'
COPY input TO '{csv}'
COPY (SELECT 1) TO '{csv}'
CREATE TABLE x AS SELECT * FROM input
CREATE MACRO f() AS TABLE SELECT * FROM '{csv}'
INSERT INTO input SELECT 1
DELETE FROM input
UPDATE input SET a = 1
DROP TABLE input
SELECT a INTO x FROM input
SELECT a FROM input FOR UPDATE
SELECT 1; SELECT * FROM '{csv}'
SELECT * FROM duckdb_settings()
SELECT * FROM duckdb_secrets()
SELECT * FROM pragma_database_list
SELECT * FROM information_schema.tables
SELECT * FROM pg_class
SELECT * FROM sqlite_master
SELECT getenv('HOME') FROM input
SELECT current_setting('temp_directory') FROM input
SELECT current_database() FROM input
SELECT version() FROM input
SELECT getvariable('x') FROM input
SELECT nextval('x') FROM input
SELECT getvariable('x'), write_log('x') FROM input
SELECT now() FROM input
SELECT random() FROM input
SELECT uuid() FROM input
SELECT repeat('a', 4000000000) FROM input
SELECT lpad('a', 4000000000) FROM input
SELECT rpad('a', a) FROM input
SELECT "repeat"('a', 4000000000) FROM input
SELECT main.repeat('a', 4000000000) FROM input
SELECT ('a').repeat(4000000000) FROM input
SELECT format('{{:>1000000000}}', a) FROM input
SELECT printf('%1000000000d', a) FROM input
SELECT bar(a, 0, 1, 1000000000) FROM input
SELECT list_transform([1], x -> x) FROM input
SELECT list_transform([1], lambda x: x) FROM input
SELECT [x FOR x IN [1, 2]] FROM input
SELECT list_resize([1], 1000000000) FROM input
SELECT array_resize([1], 1000000000) FROM input
SELECT error('x') FROM input
SELECT COLUMNS('a') FROM input
SELECT COLUMNS(*) FROM input
SELECT $1 FROM input
SELECT ? FROM input
SELECT :a FROM input
SELECT 'x'::regclass FROM input
SELECT a::MAP(INT, INT) FROM input
SELECT E'\\x41' FROM input
SELECT 0x1f AS a FROM input
SELECT a COLLATE de FROM input
SELECT {{'a': 1}} FROM input
SELECT a -- '
SELECT a /* /* */ FROM '{csv}' */ FROM input
SELECT a FROM input /* */
ｓｅｌｅｃｔ a FROM '{csv}'
SELECT a FROM ｒｅａｄ_ｃｓｖ('{csv}')
SELECT ｒepeat('a', 4000000000) FROM input
""".strip().splitlines()

EXPRESSIONS = """
EXISTS (FROM read_csv('/etc/nope'))
EXISTS (FROM read_csv('{csv}'))
EXISTS (FROM '{csv}')
EXISTS (SELECT 1 FROM read_csv('{url}'))
(SELECT a FROM read_csv('{csv}'))
(FROM read_csv('{csv}'))
a IN (SELECT a FROM read_csv('{csv}'))
a IN (FROM read_csv('{csv}'))
a IN (VALUES (1))
a IN (TABLE x)
a = ANY(SELECT a FROM read_csv('{csv}'))
a = ANY(FROM read_csv('{csv}'))
a > ALL (SELECT a FROM read_csv('{csv}'))
(VALUES (1))
(TABLE "{csv}")
(WITH x AS (SELECT * FROM read_csv('{csv}')) SELECT * FROM x)
ARRAY(SELECT a FROM read_csv('{csv}'))
read_csv('{csv}')
"read_csv"('{csv}')
pl.read_csv('{csv}')
CASE WHEN EXISTS (FROM read_csv('{csv}')) THEN 1 END
COALESCE((SELECT a FROM read_csv('{csv}')), 1)
CAST((SELECT a FROM read_csv('{csv}')) AS int)
- (SELECT a FROM read_csv('{csv}'))
NOT EXISTS (FROM read_csv('{csv}'))
a BETWEEN 1 AND (SELECT a FROM read_csv('{csv}'))
[(SELECT a FROM read_csv('{csv}'))]
SUBSTRING(t FROM (SELECT a FROM read_csv('{csv}')))
EXTRACT(year FROM (SELECT a FROM read_csv('{csv}')))
a, (SELECT a FROM read_csv('{csv}'))
a; SELECT 1
a FROM read_csv('{csv}')
a UNION SELECT a FROM read_csv('{csv}')
'x' || $$'$$ || (SELECT a FROM read_csv('{csv}')) || '
E'\\'' || (SELECT a FROM read_csv('{csv}')) || ''
/* /* */ ' */ || (SELECT a FROM read_csv('{csv}')) -- '
U&'\\0027' || (SELECT a FROM read_csv('{csv}'))
(ｓｅｌｅｃｔ a FROM read_csv('{csv}'))
(ſelect a from read_csv('{csv}'))
LPAD('a', 4000000000)
RPAD('a', 4000000000, 'x')
LPAD(t, a)
LPAD(t, 4000000000)
LPAD(t, 2147483648 * 4)
REPLACE(REPLACE(REPLACE(t, '', t), '', t), '', t)
REPEAT('a', 4000000000)
SUM(a)
a OVER ()
LOWER(t) FILTER (WHERE true)
COUNT(*)
FIRST(a)
UNNEST(l)
COLUMNS('a')
"^.*$"
"*"
"__row" > 1
__constant_text = 'x'
t.*
*
@a
$1
?
:a
0x41
a COLLATE "x"
CONVERT(a, int)
GREATEST()
""".strip().splitlines()


@pytest.fixture
def decoy(tmp_path: Path) -> Iterator[Watched]:
    """Files and a port that nobody may touch."""
    with watched(tmp_path) as found:
        yield found


def place(text: str, decoy: Watched) -> str:
    return text.format(csv=decoy.csv, json=decoy.json, url=decoy.url)


def validated(client: TestClient, *ops: dict[str, Any]) -> dict[str, Any]:
    fields = [{"name": "a", "dataType": "integer"}, {"name": "t", "dataType": "text"}]
    source, target = IR["nodes"]
    clean = {"id": "clean", "kind": "transform", "input": "src", "ops": list(ops)}
    ir = {**IR, "nodes": [source | {"fields": fields}, clean, target | {"input": "clean"}]}
    answer = client.post(f"{BASE_PATH}/ir/validate", json=ir)
    assert answer.status_code == 200, answer.text
    return {**answer.json(), "text": answer.text}


def refused_at(answer: dict[str, Any], field: str) -> bool:
    return any(problem["path"] == f"nodes[1].ops[0].{field}" for problem in answer["issues"])


@pytest.mark.postgres
def test_no_query_of_a_viewer_touches_a_file_or_an_address(facade: Facade, decoy: Watched) -> None:
    for text in QUERIES:
        answer = validated(facade.viewer, {"type": "sql", "query": place(text, decoy)})
        assert refused_at(answer, "query"), (text, answer)
        assert SECRET not in answer["text"]
        assert decoy.touched() == [], text


@pytest.mark.postgres
def test_no_expression_of_a_viewer_touches_a_file_or_an_address(facade: Facade, decoy: Watched) -> None:
    for text in EXPRESSIONS:
        op = {"type": "expression", "field": "x", "expression": place(text, decoy)}
        answer = validated(facade.viewer, op)
        assert refused_at(answer, "expression"), (text, answer)
        assert SECRET not in answer["text"]
        assert decoy.touched() == [], text


def test_the_decoy_notices_what_polars_and_duckdb_would_do(decoy: Watched) -> None:
    """So that the tests here cannot pass because nobody looks."""
    pl.SQLContext().execute(f"SELECT * FROM read_csv('{decoy.csv}')", eager=True)
    assert "secrets.csv" in decoy.touched()
    pl.sql_expr(f"EXISTS (FROM read_csv('{decoy.csv}'))")
    assert "secrets.csv" in decoy.touched()
    duckdb = pytest.importorskip("duckdb")
    duckdb.connect().execute(f"SELECT * FROM '{decoy.csv}'").fetchall()
    assert "secrets.csv" in decoy.touched()


def test_the_engine_is_locked_whatever_it_is_reported(decoy: Watched) -> None:
    """The second barrier: a statement that validation should have refused finds nothing, and changes nothing."""
    import duckdb

    from headrace.flows.query.sandbox import open_database

    connection = open_database(64 * 1024 * 1024, 1, None)
    outside = pl.DataFrame({"a": [SECRET]})  # noqa: F841 - a variable that the engine must not see
    made = decoy.folder / "made.csv"
    for text in [
        f"SELECT * FROM read_csv('{decoy.csv}')",
        f"SELECT * FROM read_text('{decoy.csv}')",
        f"SELECT * FROM read_json('{decoy.json}')",
        f"SELECT * FROM '{decoy.csv}'",
        f"SELECT * FROM read_csv('{decoy.url}')",
        f"SELECT * FROM glob('{decoy.folder}/*')",
        f"DESCRIBE SELECT * FROM read_csv('{decoy.csv}')",
        f"ATTACH '{decoy.csv}' AS x",
        f"IMPORT DATABASE '{decoy.folder}'",
        f"EXPORT DATABASE '{decoy.folder}'",
        f"COPY (SELECT 1) TO '{made}'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM outside",
        "SELECT getenv('HOME')",
        "SET threads = 4",
        "SET memory_limit = '100GB'",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "RESET enable_external_access",
        "PRAGMA enable_external_access",
    ]:
        with pytest.raises(duckdb.Error):
            connection.execute(text).fetchall()
        assert decoy.touched() == [], text
    assert not made.exists()


WORDS = frozenset(
    """
    AND ARRAY AS BETWEEN BOTH CASE CAST DISTINCT ELSE END EXTRACT FALSE FROM IN INTERVAL IS LEADING LIKE ILIKE NOT NULL
    OR POSITION PRECISION REGEXP RLIKE SAFE_CAST THEN TIME TRAILING TRIM TRUE TRY_CAST UNSIGNED VARYING WHEN WITH
    WITHOUT XOR ZONE NFC NFD NFKC NFKD
    """.split()  # noqa: SIM905 - a table of words
)
QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")


def written_words(sql: str) -> set[str]:
    return set(re.findall(r"[^\W\d]\w*", re.sub(r"\b[0-9.]+[eE][+-]?[0-9]+", " ", QUOTED.sub(" ", sql))))


def listed_words() -> frozenset[str]:
    from headrace.ir.sql.expressions.functions import FUNCTIONS, PARTS, TYPES, WITHOUT_PARENTHESES
    from headrace.ir.sql.expressions.grammar import _UNITS

    return frozenset({*WORDS, *FUNCTIONS, *PARTS, *WITHOUT_PARENTHESES, *TYPES, *_UNITS})


MISSING = "/does/not/exist.csv"
READ = f"(select a from read_csv('{MISSING}'))"
MARKS = [
    "'",
    "''",
    '"',
    "`",
    "$$",
    "$t$",
    "--",
    "/*",
    "*/",
    "/**/",
    "E'",
    "u&'",
    "N'",
    "X'",
    "q'[",
    "]'",
    "\\",
    "#",
    "\0",
]
OTHERS = [
    "\n",
    "\r",
    "a",
    "t",
    "||",
    " ",
    "(",
    ")",
    ",",
    "[",
    "]",
    " and ",
    "exists ",
    "from ",
    "in ",
    "any",
    "::int",
    ".",
]
MORE = [
    "case when a = '' then ",
    " else ",
    " end",
    "coalesce(",
    "cast(",
    " as ",
    "extract(year from ",
    "trim(",
    "ſelect",
]
soup = st.lists(st.sampled_from([READ, "read_csv('x')", *MARKS, *OTHERS, *MORE]), max_size=14).map("".join)


@settings(max_examples=examples(900))
@given(soup)
@example("$$'$$||" + READ + "||'")
@example("/*/**/'*/" + READ + "--'")
@example('$t$"$t$||' + READ + '||"')
@example("E'\\''||" + READ + "||''")
def test_what_is_let_through_holds_only_listed_words_and_reads_no_file(text: str) -> None:
    try:
        tree = expression(text)
    except Refused:
        return
    assert written_words(tree.sql) <= listed_words()
    assert expression(tree.sql).sql == tree.sql
    try:
        pl.sql_expr(tree.sql)
    except PolarsError:
        pass
    except FileNotFoundError:
        raise AssertionError(f"{text!r} reached for a file") from None


NAMES = [
    "input",
    "INPUT",
    "read_csv",
    '"read_csv"',
    "`read_csv`",
    f"('{MISSING}')",
    f'"{MISSING}"',
    f"'{MISSING}'",
    "x",
]
CLAUSES = [
    "from",
    "join",
    "cross join",
    "natural join",
    "on true",
    "using (a)",
    "union all",
    "where a in (",
    "exists (",
]
PIECES = [
    "with x as (",
    "as",
    "lateral",
    "(",
    ")",
    ",",
    "select a",
    "select *",
    "from input",
    "values (1)",
    "pivot",
    "1",
]
query_soup = st.lists(st.sampled_from([*NAMES, *CLAUSES, *PIECES, "$$", "'", "--", "/*", "*/", "\n", ";"]), max_size=10)


@settings(max_examples=examples(900), suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(parts=query_soup)
@example(parts=['from ("read_csv"', f"('{MISSING}')", ")"])
@example(parts=["from input, ", f"'{MISSING}'"])
@example(parts=["from input where a in (select a from (`read_csv`", f"('{MISSING}')", "))"])
def test_a_query_that_is_let_through_is_let_through_again_and_reads_no_file(parts: list[str], decoy: Watched) -> None:
    try:
        evaluated = query(" ".join(["select *", *parts]))
    except Refused:
        return
    assert query(evaluated.sql).sql == evaluated.sql
    try:
        result_columns(evaluated, {"a": pl.Int64()})
    except Refused as refused:
        assert MISSING not in refused.message or "does not exist" in refused.message  # noqa: PT017
    assert decoy.touched() == []


@pytest.fixture
def measured() -> Iterator[list[int]]:
    """Filled with the growth of this process' largest memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found: list[int] = []
    yield found
    found.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert found[-1] < GIGABYTE / 4


LARGE = [
    "LPAD('a', 4000000000)",
    "'x' || LPAD('a', 4000000000)",
    "LPAD(t, 4000000000)",
    "LENGTH(LPAD('a', 4000000000))",
]
DEEP = {
    "operators": "a" + " + 1" * 5_000,
    "or": " or ".join(["a = 1"] * 2_000),
    "casts": "a" + "::int" * 3_000,
    "nulls": "a is null" + " is null" * 2_000,
    "parentheses": "(" * 5_000 + "a" + ")" * 5_000,
    "brackets": "[" * 5_000,
    "calls": "upper(" * 3_000 + "t" + ")" * 3_000,
    "not": "not " * 4_000 + "a",
    "signs": "- " * 4_000 + "a",
    "distinct": "a" + " is distinct from a" * 200,
    "branches": f"case {'when a = 1 then 1 ' * 1_000} end",
    "cases": "case when a = 1 then " * 500 + "1" + " end" * 500,
    "copies": "left(" * 30 + "t" + ", a)" * 30,
    "between": "(" * 30 + "a" + " between 1 and 2)" * 30,
    "split": "split_part(" * 20 + "t" + ", ',', 1)" * 20,
}


@pytest.mark.parametrize("text", LARGE)
def test_typing_computes_nothing_even_without_the_bounds(
    text: str, monkeypatch: pytest.MonkeyPatch, measured: list[int]
) -> None:
    monkeypatch.setattr(expression_bounds, "MAX_PADDED", 10**18)
    monkeypatch.setattr(expression_bounds, "MAX_TEXT", 10**18)
    from headrace.flows.compile.scope import Scope

    columns = pl.Schema({"a": pl.Int64, "t": pl.String})
    begun = time.monotonic()
    _, dtype = Scope("n", "nodes[0]", columns).expression(text, "expression")
    assert dtype == (pl.UInt32 if text.startswith("LENGTH") else pl.String)
    assert time.monotonic() - begun < 20


def test_planning_computes_nothing_either(measured: list[int]) -> None:
    """What a plan asks of polars is which columns an expression reads."""
    from headrace.flows.compile.push_down.projection import _read

    padded = pl.lit("a").str.pad_start(4_000_000_000)
    assert _read([padded, padded + pl.col("t")], pl.Schema({"a": pl.Int64, "t": pl.String})) == {"t"}


def test_typing_a_query_computes_nothing_even_without_the_bounds(
    monkeypatch: pytest.MonkeyPatch, measured: list[int]
) -> None:
    monkeypatch.setattr("headrace.ir.sql.queries.bounds.MAX_PADDED", 10**18)
    monkeypatch.setattr("headrace.ir.sql.queries.bounds.MAX_TEXT", 10**18)
    for text in (
        "SELECT lpad('a', 2000000000, 'x') AS v FROM input",
        "SELECT lpad(t, 2000000000, 'x') AS v FROM input",
    ):
        made, _ = result_columns(query(text), {"t": pl.String()})
        assert made == {"v": pl.String()}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP)
def test_an_expression_without_end_is_refused_before_polars_sees_it(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(pl, "sql_expr")
    begun = time.monotonic()
    with pytest.raises(Refused) as refused:
        expression(text)
    assert refused.value.code in ("expression_too_large", "invalid_expression")
    assert time.monotonic() - begun < 20


def test_what_is_just_not_too_much_is_taken() -> None:
    for text in (
        "a" + " + 1" * MAX_OPERATORS,
        "(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH,
        f"case {'when a = 1 then 1 ' * 100} end",
        f"a in ({', '.join(map(str, range(3_000)))})",
        f"coalesce({', '.join(['a'] * 3_000)})",
        "lpad(t, 10000) || rpad(t, 10000, ' ')",
        "replace(t, 'x', t)",
        "left(left(t, 2), 1)",
        f"case {'when y then 1 ' * MAX_BRANCHES} end",
    ):
        pl.sql_expr(expression(text).sql)


def nested(many: int, step: str, begin: str = "SELECT t FROM input") -> str:
    ctes = [f"c0 AS ({begin})", *(f"c{n} AS ({step.format(before=f'c{n - 1}')})" for n in range(1, many))]
    return f"WITH {', '.join(ctes)} SELECT * FROM c{many - 1}"


@pytest.mark.parametrize(
    "text",
    [
        nested(20, "SELECT x.t FROM {before} x, {before} y"),
        nested(20, "SELECT t || t AS t FROM {before}"),
        nested(10, "SELECT replace(t, '', t) AS t FROM {before}"),
        "SELECT " + "||".join(["t"] * 2_000) + " AS t FROM input",
        "SELECT a FROM input WHERE replace(replace(replace(t, '', t), '', t), '', t) = ''",
        "SELECT a FROM input " + "CROSS JOIN input " * 100,
        "SELECT " + "(" * 3_000 + "a" + ")" * 3_000 + " FROM input",
        "SELECT a FROM " + "(" * 3_000 + "input" + ")" * 3_000,
        "SELECT a" + " + 1" * 4_900 + " FROM input",
        "SELECT a FROM input WHERE " + " OR ".join(["a = 1"] * 2_000),
    ],
    ids=[
        "tables",
        "texts",
        "replaced",
        "one text",
        "where",
        "joins",
        "parentheses",
        "tables in parentheses",
        "sum",
        "or",
    ],
)
def test_a_query_that_makes_much_of_little_is_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        query(text)
    assert refused.value.code == "query_refused"


@pytest.mark.parametrize(
    "text",
    [
        "SELECT repeat('a', 1000000000) FROM ds_o",
        "SELECT repeat(repeat('a', 10000), 10000) FROM ds_o",
        "SELECT repeat('a', n) FROM ds_o",
        "SELECT lpad('a', 1000000000) FROM ds_o",
        "SELECT rpad(a, 1000000000, 'x') FROM ds_o",
        "SELECT * FROM generate_series(1, 1000000000000) AS g",
        "SELECT generate_series(1, n) FROM ds_o",
        "SELECT * FROM generate_series('2000-01-01'::date, '9999-01-01'::date, INTERVAL '1 second') AS g",
        "SELECT * FROM generate_series('2000-01-01'::date, '9999-01-01'::date, INTERVAL '1 microsecond') AS g",
        "SELECT * FROM generate_series(1, 10, 0) AS g",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT \"pg_read_file\"('/etc/passwd')",
        "SELECT pg_catalog.pg_read_file('/etc/passwd')",
        "SELECT * FROM ds_o, LATERAL pg_ls_dir('.')",
        "SELECT * FROM pg_ls_dir('.')",
        "SELECT (pg_stat_file('/etc/passwd')).size",
        "SELECT dblink('host=x', 'SELECT 1')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(1, '/tmp/x')",
        "SELECT query_to_xml('SELECT 1', true, true, '')",
        "SELECT set_config('role', 'postgres', false)",
        "SELECT current_setting('data_directory')",
        "SELECT pg_sleep(1000)",
        "SELECT pg_terminate_backend(1)",
        "SELECT nextval('x')",
        "SELECT 'pg_class'::regclass",
        "SELECT * FROM pg_shadow",
        "SELECT * FROM pg_catalog.pg_authid",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM headrace.api_keys",
        "CREATE INDEX i ON ds_o (lo_import('/etc/passwd'))",
        "COPY ds_o TO PROGRAM 'id'",
        "DO 'BEGIN END'",
        "SELECT 1; SELECT 2",
        "SELECT a INTO x FROM ds_o",
        "WITH x AS (DELETE FROM ds_o RETURNING a) SELECT * FROM x",
    ],
)
def test_a_hook_calls_nothing_that_does_or_makes_much(text: str) -> None:
    with pytest.raises(PydanticCustomError):
        admin_statement(text)


def test_what_hooks_need_of_these_is_left() -> None:
    for text in (
        "SELECT lpad(a, 10, '0'), repeat('-', 20) FROM ds_o",
        "SELECT * FROM generate_series(1, 1000) AS g",
        "SELECT g FROM generate_series('2024-01-01'::date, '2024-12-31'::date, INTERVAL '1 day') AS g",
    ):
        assert admin_statement(text).kind == "select"
