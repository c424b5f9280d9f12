"""The SQL that a hook may run: listed statements keep their meaning, and all others are refused."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from headrace.ir import parse_ir
from headrace.ir.statements import LOADED_TABLE, AdminStatement, admin_statement
from tests.effort import examples

LOADED = "public.ds_new"
VERBS = ("DROP", "DELETE", "UPDATE", "TRUNCATE", "INSERT", "MERGE", "COPY", "GRANT", "REVOKE", "ALTER")


def evaluated(text: str) -> AdminStatement | None:
    """The statement; None when it is refused."""
    try:
        return admin_statement(text)
    except PydanticCustomError:
        return None


@pytest.mark.parametrize(
    ("text", "sent", "tables"),
    [
        ("SELECT count(*) FROM ds_o", 'SELECT COUNT(*) FROM "public"."ds_o"', {"public.ds_o"}),
        (
            "WITH a AS (SELECT Id FROM public.DS_O) SELECT * FROM a -- all",
            'WITH "a" AS (SELECT "id" FROM "public"."ds_o") SELECT * FROM "a"',
            {"public.ds_o"},
        ),
        (
            "select {table}.a from {table}",
            'SELECT "ds_new"."a" FROM "public"."ds_new"',
            {LOADED_TABLE},
        ),
        ("SELECT a->>'b' FROM sales.ds_o;", 'SELECT "a" ->> \'b\' FROM "sales"."ds_o"', {"sales.ds_o"}),
        ('analyze verbose ds_o (a, "B")', 'ANALYZE "public"."ds_o" ("a", "B")', {"public.ds_o"}),
        ("VACUUM (FREEZE, ANALYZE) {table}", 'VACUUM (FREEZE, ANALYZE) "public"."ds_new"', {LOADED_TABLE}),
        ("VACUUM ds_o", 'VACUUM "public"."ds_o"', {"public.ds_o"}),
        (
            "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON {table} USING btree (a, lower(b)) WHERE c > 0",
            'CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "i" ON "public"."ds_new" '
            'USING btree("a", LOWER("b")) WHERE "c" > 0',
            {LOADED_TABLE},
        ),
        ("REFRESH MATERIALIZED VIEW CONCURRENTLY mv", 'REFRESH MATERIALIZED VIEW "public"."mv"', set()),
    ],
)
def test_what_is_on_the_list_is_written_again(text: str, sent: str, tables: set[str]) -> None:
    statement = admin_statement(text)
    assert (statement.render(LOADED), statement.tables) == (sent, tables)


REFUSED = [
    *(f"{verb} x" for verb in VERBS),
    "SELECT 1; DROP TABLE ds_o", "ANALYZE ds_o; DROP TABLE ds_o", "VACUUM ds_o; SELECT 1", ";", "", "  ",
    "WITH d AS (DELETE FROM ds_o RETURNING *) SELECT * FROM d", "WITH d AS (SELECT 1) DELETE FROM ds_o",
    "WITH m AS (MERGE INTO ds_o USING x ON true WHEN MATCHED THEN DELETE RETURNING *) SELECT * FROM m",
    "SELECT * FROM (INSERT INTO ds_o VALUES (1) RETURNING *) q", "EXPLAIN ANALYZE DELETE FROM ds_o",
    "EXPLAIN SELECT 1", "CREATE TABLE a AS SELECT 1", "SELECT * INTO a FROM ds_o", "CREATE VIEW v AS SELECT 1",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'", "CREATE EXTENSION dblink", "CREATE ROLE r",
    "DO $$ BEGIN DELETE FROM ds_o; END $$", "PREPARE p AS DELETE FROM ds_o", "EXECUTE p", "CALL f()",
    "SET ROLE postgres", "SET SESSION AUTHORIZATION postgres", "RESET ROLE", "LOCK TABLE ds_o", "BEGIN", "COMMIT",
    "LISTEN a", "NOTIFY a", "LOAD 'a'", "CLUSTER ds_o", "REINDEX TABLE ds_o", "COMMENT ON TABLE ds_o IS 'a'",
    "IMPORT FOREIGN SCHEMA a FROM SERVER b INTO c", "DECLARE c CURSOR FOR SELECT 1", "VALUES (1)", "TABLE ds_o",
    "VACUUM", "VACUUM FULL ds_o", "VACUUM (FULL) ds_o", "ANALYZE", "ANALYZE ds_o, ds_p", "VACUUM ds_o, ds_p",
    "REFRESH MATERIALIZED VIEW mv WITH NO DATA", "REFRESH MATERIALIZED VIEW {table}", "ANALYZE public.{table}",
    "SELECT pg_read_file('a')", "SELECT pg_catalog.pg_read_file('a')", "SELECT \"pg_read_file\"('a')",
    "SELECT pg_read_file/**/('a')", "SELECT * FROM pg_ls_dir('.')", "SELECT * FROM ROWS FROM (pg_ls_dir('.'))",
    "SELECT pg_terminate_backend(1)", "SELECT lo_import('a')", "SELECT lo_export(1, 'a')", "SELECT dblink('a', 'b')",
    "SELECT query_to_xml('DELETE FROM ds_o', true, true, '')", "SELECT ts_stat('a')", "SELECT nextval('a')",
    "SELECT set_config('a', 'b', false)", "SELECT current_setting('a')", "SELECT pg_sleep(1e6)",
    "SELECT my_function(1)", "SELECT (SELECT pg_sleep(3))", "SELECT CASE WHEN true THEN pg_sleep(1) END",
    "SELECT a FROM ds_o ORDER BY pg_sleep(1)", "SELECT * FROM pg_authid", "SELECT * FROM pg_catalog.pg_authid",
    "SELECT * FROM \"pg_authid\"",
    "SELECT * FROM headrace.api_keys", "SELECT * FROM _headrace.ledger", "SELECT * FROM information_schema.tables",
    "WITH pg_authid AS (SELECT 1) SELECT * FROM pg_authid", "SELECT * FROM other.public.ds_o",
    "ANALYZE pg_catalog.pg_class", "VACUUM headrace.runs", "REFRESH MATERIALIZED VIEW headrace.x",
    "CREATE INDEX i ON pg_class (oid)", "CREATE INDEX ON ds_o (a)", "CREATE INDEX i ON ds_o (a) TABLESPACE t",
    "CREATE INDEX i ON ds_o (a) WITH (fillfactor = 70)", "CREATE INDEX i ON ds_o (pg_sleep(1))",
    "CREATE INDEX i ON ds_o (a) WHERE (SELECT 1) = 1", "SELECT a FROM ds_o FOR UPDATE", "SELECT 'a'::regclass",
    "SELECT a OPERATOR(pg_catalog.+) 1 FROM ds_o", "SELECT 'x'::my_type", "SELECT $1", "SELECT :a", "SELECT %(a)s",
    "SELECT E'\\'; DROP TABLE ds_o; --'", "SELECT U&'\\0027'", "SELECT 1 FROM headrace_loaded_table",
    "SELECT * FROM ds_o TABLESAMPLE system(1)", "SELECT xmlparse(document 'a')", "\uff24ROP TABLE ds_o",
    "\ufeffSELECT 1",
    "SELECT 1\x00; DROP TABLE ds_o", "(" * 5000 + "SELECT 1" + ")" * 5000,
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_all_else_is_refused(text: str) -> None:
    assert evaluated(text) is None


@pytest.mark.parametrize("text", ["SELECT 'DROP TABLE ds_o'", 'SELECT "delete" FROM ds_o', "SELECT 1 -- DROP TABLE a"])
def test_a_forbidden_word_that_is_no_statement_is_no_reason(text: str) -> None:
    assert evaluated(text) is not None


PIECES = st.sampled_from(
    ["SELECT", "WITH", "a AS (", ")", "(", "FROM", "ds_o", "public.ds_o", '"ds_o"', "1", "count(*)", ",", "'", '"',
     "''", "--", "\n", "/*", "*/", "$$", "$a$", "E'", "\\'", "U&'", "\\0027", ";", "ANALYZE", "VACUUM",
     "CREATE INDEX i ON", "REFRESH MATERIALIZED VIEW", "RETURNING *", "INTO x", "VALUES (1)", "SET a = 1", "TABLE ds_o",
     "ON ds_o", "lower(",
     "UNION", "{table}", "é", "\u00a0", "\u200b", "ᴅʀᴏᴘ", "pg_sleep(1)", "::", "::text", "AS", "a", "b", "=", "%s",
     "$1"]
    + [f"{verb} " for verb in VERBS] + [verb.lower() for verb in VERBS]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=12).map(" ".join) | st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=40)


def bare_words(sql: str) -> set[str]:
    """The words of a canonical statement that are neither quoted names nor text."""
    return {word.upper() for word in re.findall(r"\w+", re.sub(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", " ", sql))}


@settings(max_examples=examples(600))
@given(TEXTS)
def test_whatever_gets_through_has_no_forbidden_verb(text: str) -> None:
    statement = evaluated(text)
    if statement is not None:
        sent = statement.render(LOADED)
        assert not bare_words(sent) & set(VERBS), sent
        assert sent.split()[0] in ("SELECT", "WITH", "ANALYZE", "VACUUM", "CREATE", "REFRESH", "(SELECT"), sent
        again = admin_statement(sent)
        assert (again.render(LOADED), again.kind) == (sent, statement.kind), "what is sent is understood the same way"


@settings(max_examples=examples(300))
@given(st.sampled_from(["SELECT {}", "SELECT 1 FROM ds_o WHERE {}", "WITH q AS ({}) SELECT 1", "SELECT ({})"]), TEXTS)
def test_nor_inside_a_query(frame: str, text: str) -> None:
    statement = evaluated(frame.replace("{}", text))
    if statement is not None:
        assert not bare_words(statement.render(LOADED)) & set(VERBS)


@pytest.mark.postgres
def test_the_server_reads_what_is_sent_as_one_statement_that_changes_nothing(database_url: str) -> None:
    """Random statements that got through, run for real: the table is as it was, whether they work or not."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE public.ds_o (a int, b text); INSERT INTO public.ds_o VALUES (1, 'x')")
        connection.execute("CREATE TABLE public.ds_new (a int, b text)")
        connection.execute("SET statement_timeout = '2s'; SET search_path = ''")
        ran: list[str] = []
        several: list[bool] = []

        @settings(max_examples=examples(300))
        @given(TEXTS.map(lambda text: f"SELECT {text}"))
        def run(text: str) -> None:
            statement = evaluated(text)
            if statement is None:
                return
            ran.append(text)
            try:
                connection.execute(statement.render(LOADED).encode(), prepare=True)
            except psycopg.Error as error:
                several.append("multiple commands" in str(error))

        run()
        assert ran
        assert not any(several)
        assert connection.execute("SELECT a, b FROM public.ds_o").fetchall() == [(1, "x")]
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
        assert tables == [("ds_new",), ("ds_o",)]


def document(**target: Any) -> dict[str, Any]:
    source = {"id": "src", "kind": "source", "connector": "local_fs", "config": {}}
    nodes = [source, {"id": "tgt", "kind": "target", "input": "src", "schema": "ds_o", **target}]
    return {"kind": "pipeline", "version": "1.0", "id": "p", "metadata": {"name": "P"}, "nodes": nodes}


@pytest.mark.parametrize(
    ("hooks", "path", "code"),
    [
        ({"type": "sql", "statement": "DROP TABLE x"}, "preHook.statement", "forbidden_statement"),
        ([{"type": "sql", "statement": "SELECT 1;SELECT 2"}], "preHook[0].statement", "several_statements"),
        ({"type": "sql", "statement": "SELECT pg_sleep(1)"}, "preHook.statement", "forbidden_function"),
        ({"type": "sql", "statement": "SELECT * FROM headrace.runs"}, "preHook.statement", "forbidden_table"),
        ({"type": "sql", "statement": "SELECT FROM WHERE"}, "preHook.statement", "unreadable_statement"),
        ({"type": "sqll", "statement": "SELECT 1"}, "preHook.type", "unknown_type"),
        (
            {"type": "webhook", "url": "https://a.example", "secretRef": "password"},
            "preHook.secretRef",
            "invalid_secret",
        ),
        ({"type": "refresh", "view": "a b"}, "preHook.view", "invalid_table"),
        ({"type": "sql", "statment": "SELECT 1", "statement": "SELECT 1"}, "preHook.statment", "unknown_field"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_hook_is_reported_at_its_place(hooks: Any, path: str, code: str) -> None:
    problems = parse_ir(document(preHook=hooks)).problems
    assert [(problem.path, problem.code) for problem in problems] == [(f"nodes[1].{path}", code)]
    assert problems[0].hint


def test_one_hook_or_several_are_the_same_thing() -> None:
    hook = {"type": "sql", "statement": "ANALYZE ds_o"}
    one, several = (parse_ir(document(postHook=given)).ir for given in (hook, [hook]))
    assert one is not None
    assert one == several
