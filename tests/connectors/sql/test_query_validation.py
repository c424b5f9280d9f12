"""Queries must be one statement that only reads; parameters are found in any place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.connectors.errors import SourceError
from headrace.connectors.sql.query_validation import validated

READS = (
    ("postgres", "SELECT 1"),
    ("postgres", "SELECT 1;"),
    ("postgres", "  -- all\n SELECT * FROM t -- of it"),
    ("postgres", "WITH RECURSIVE t(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM t WHERE n < 5) SELECT * FROM t"),
    ("postgres", "VALUES (1, 'a'), (2, 'b')"),
    ("postgres", "TABLE orders"),
    ("postgres", "(SELECT 1) UNION ALL SELECT 2 ORDER BY 1 LIMIT 3"),
    ("postgres", "SELECT a[1:2], b::int[], c #>> '{x}', $$;$$, E'\\';' FROM t TABLESAMPLE SYSTEM (1)"),
    ("postgres", "SELECT 'DELETE FROM t; DROP TABLE t' AS text"),
    ("mysql", "SELECT `a;b` FROM t WHERE x = 'it''s; fine' /* not executed */"),
    ("snowflake", "SELECT src:name::string FROM t QUALIFY row_number() OVER (ORDER BY id) = 1"),
)

WRITES = (
    ("postgres", ""),
    ("postgres", "   ;  "),
    ("postgres", "SELECT 1; SELECT 2"),
    ("postgres", "SELECT 1; DROP TABLE t"),
    ("postgres", "DELETE FROM t"),
    ("postgres", "INSERT INTO t SELECT 1"),
    ("postgres", "UPDATE t SET a = 1 RETURNING *"),
    ("postgres", "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE"),
    ("postgres", "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone"),
    ("postgres", "SELECT * INTO y FROM t"),
    ("postgres", "SELECT * FROM t FOR UPDATE"),
    ("postgres", "CREATE TABLE x AS SELECT 1"),
    ("postgres", "EXPLAIN ANALYZE SELECT 1"),
    ("postgres", "COPY t TO PROGRAM 'id'"),
    ("postgres", "SET transaction_read_only = off"),
    ("postgres", "DO $$ BEGIN END $$"),
    ("postgres", "CALL f()"),
    ("postgres", "BEGIN"),
    ("postgres", "SELECT 1) TO STDOUT; DROP TABLE t; (SELECT 2"),
    ("postgres", "SELECT 'open"),
    ("mysql", "SELECT 1 /*! INTO OUTFILE '/tmp/x' */"),
    ("mysql", "SELECT 1 /*M! INTO OUTFILE '/tmp/x' */"),
    ("mysql", "SELECT * FROM t INTO OUTFILE '/tmp/x'"),
    ("mysql", "SELECT * FROM t LOCK IN SHARE MODE"),
    ("mysql", "SHOW TABLES"),
    ("snowflake", "USE ROLE ACCOUNTADMIN"),
)


@pytest.mark.parametrize(("dialect", "text"), READS)
def test_what_reads_is_taken_as_it_is_written(dialect: str, text: str) -> None:
    query = validated(text, dialect)
    assert query.names == ()
    assert query.pieces[0] in text
    assert ";" not in query.pieces[0][-1]


@pytest.mark.parametrize(("dialect", "text"), WRITES)
def test_what_is_no_single_reading_statement_is_refused(dialect: str, text: str) -> None:
    with pytest.raises(SourceError) as refused:
        validated(text, dialect)
    assert refused.value.code == "bad_query"
    assert refused.value.hint


def test_parameters_are_put_where_they_stand_and_nowhere_else() -> None:
    text = "SELECT 'ü :a', \"b:a\", a[1:2], x::int FROM t WHERE y > :a AND z = (:b) OR :a IS NULL -- :a"
    query = validated(text, "postgres", ["a", "b"])
    assert query.names == ("a", "b", "a")
    assert query.bound({"a": 1, "b": 2}, lambda value: f"<{value}>") == (
        "SELECT 'ü :a', \"b:a\", a[1:2], x::int FROM t WHERE y > <1> AND z = (<2>) OR <1> IS NULL"
    )


@pytest.mark.parametrize(
    ("text", "given", "reported"),
    [
        ("SELECT :a", [], "has no value"),
        ("SELECT 1", ["a"], "no parameter :a"),
        ("SELECT :since", ["sinse"], "did you mean 'sinse'"),
        ("SELECT * FROM t WHERE d > '{{since}}'", [], "not pasted"),
        ("SELECT '\0'", [], "NUL"),
    ],
)
def test_a_parameter_that_is_not_given_or_not_used_is_reported(text: str, given: list[str], reported: str) -> None:
    with pytest.raises(SourceError, match=reported):
        validated(text, "postgres", given)


@given(st.text(st.characters(exclude_characters="\0'\\{}", exclude_categories=["Cs"]), max_size=30))
def test_texts_before_a_parameter_do_not_move_it(text: str) -> None:
    written = f"SELECT '{text}' AS t FROM x WHERE a = :p"
    query = validated(written, "postgres", ["p"])
    assert query.pieces == (written.removesuffix(":p"), "")
