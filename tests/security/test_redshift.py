"""The author of a Redshift source cannot inject another statement or another folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp, parse

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.redshift.connector import REDSHIFT
from headrace.connectors.redshift.login import access, bucket_context
from headrace.connectors.redshift.types import literal, quoted, text_literal
from headrace.connectors.redshift.unload import unload_statement
from headrace.connectors.specs.base import problems_of
from headrace.connectors.specs.databases import Redshift
from headrace.connectors.sql.relation import Column
from headrace.connectors.stores.object_store.s3 import s3_bucket
from headrace.ir.schema import Field
from tests.effort import examples

_ROLE = "arn:aws:iam::012345678901:role/unloads"
_CONFIG = {
    **{"host": "127.0.0.1", "port": 5439, "database": "d", "region": "eu-central-1"},
    **{"unloadTo": "s3://bucket/folder", "unloadRole": _ROLE},
}
_PLACE = Redshift.model_validate(_CONFIG)


def read(sql: str, start: int) -> tuple[str, int]:
    """The literal that begins at a place, character by character as Redshift reads it, and where it ends."""
    assert sql[start] == "'"
    text, at = [], start + 1
    while True:
        if sql[at] == "\\":
            text.append(sql[at + 1])
            at += 2
        elif sql[at : at + 2] == "''":
            text.append("'")
            at += 2
        elif sql[at] == "'":
            return "".join(text), at + 1
        else:
            text.append(sql[at])
            at += 1


_HOSTILE = st.text(st.sampled_from("'\\\")(;-$ aé\n") | st.characters(exclude_characters="\0", codec="utf-8"))


@given(text=_HOSTILE)
@settings(max_examples=examples(300))
def test_a_text_is_one_literal_whatever_is_in_it(text: str) -> None:
    written = text_literal(text)
    assert read(written, 0) == (text, len(written))


@given(text=_HOSTILE)
@settings(max_examples=examples(300))
def test_what_is_unloaded_is_one_literal_in_a_literal(text: str) -> None:
    inner = f"SELECT a AS c0 FROM t WHERE a = {text_literal(text)}"
    statement = unload_statement(inner, _PLACE, "headrace-1700000000-0123456789ab")
    select, end = read(statement, len("UNLOAD ("))
    assert select == inner
    assert read(select, len("SELECT a AS c0 FROM t WHERE a = "))[0] == text
    assert statement[end:] == (
        ") TO 's3://bucket/folder/headrace-1700000000-0123456789ab/'"
        f" IAM_ROLE '{_ROLE}' FORMAT AS PARQUET MANIFEST VERBOSE REGION AS 'eu-central-1' MAXFILESIZE AS 256 MB"
    )


@given(text=_HOSTILE)
@settings(max_examples=examples(200))
def test_the_evaluate_reads_a_literal_as_the_server_does(text: str) -> None:
    """What the evaluate takes for the inside of a literal must be that for the server too."""
    [tree] = parse(f"SELECT {text_literal(text)} AS a", read="redshift")
    assert tree is not None
    assert tree.find(exp.Literal).this.replace("''", "'") == text or "\\" in text
    assert len(list(tree.find_all(exp.Literal))) == 1


def test_names_and_values_stay_in_their_quotes() -> None:
    assert quoted('a" FROM x; --') == '"a"" FROM x; --"'
    number = Column(Field("n", "bigint"), "bigint", "int8", sure=True)
    for wrong in ("1; DROP TABLE t", "1 OR 1=1", "0x1", "1e", "--1"):
        with pytest.raises(SourceError, match="is not a number"):
            literal(number, wrong)
    with pytest.raises(SourceError, match="NUL"):
        text_literal("a\0")


@pytest.mark.parametrize(
    "config",
    [
        {"unloadTo": "s3://bucket/a' PARALLEL OFF --"},
        {"unloadTo": "https://elsewhere/"},
        {"unloadTo": "s3://bucket/a\\"},
        {"unloadRole": "arn:aws:iam::012345678901:role/x' ALLOWOVERWRITE --"},
        {"unloadRole": "aws_access_key_id=A;aws_secret_access_key=B"},
        {"unloadRole": None},
        {"region": None},
    ],
)
def test_where_to_unload_to_is_written_in_plain_letters(config: dict[str, object]) -> None:
    assert problems_of(Redshift, {**_CONFIG, **config})


@pytest.mark.parametrize(
    "query",
    [
        "UNLOAD ('SELECT 1') TO 's3://elsewhere/x' IAM_ROLE default",
        "COPY t FROM 's3://elsewhere/x' IAM_ROLE default",
        "CALL p()",
        "SELECT 1; DELETE FROM t",
        "SELECT 'a\\'; DELETE FROM t; --'; DELETE FROM t",
        "SELECT * INTO x FROM t",
        "WITH a AS (DELETE FROM t RETURNING 1) SELECT * FROM a",
        "SET enable_case_sensitive_identifier TO true",
        "EXECUTE p",
    ],
)
def test_no_query_is_more_than_one_select(query: str) -> None:
    with pytest.raises(SourceError) as refused:
        REDSHIFT.source(_context(query=query))
    assert refused.value.code == "bad_query"


def test_only_addresses_that_may_be_dialled_are() -> None:
    with pytest.raises(SourceError) as refused:
        access(_context(table="t")).connect()
    assert refused.value.code == "address_refused"
    context = _context({"s3Endpoint": "http://169.254.169.254"}, table="t")
    place = Redshift.model_validate(dict(context.connection.config))
    keyed = replace(
        context, connection=replace(context.connection, credentials={"accessKeyId": "a", "secretAccessKey": "b"})
    )
    with pytest.raises(SourceError):
        s3_bucket(bucket_context(keyed, place))


def test_the_servers_own_role_is_lent_only_for_buckets_that_the_operator_names() -> None:
    context = _context(table="t")
    with pytest.raises(SourceError, match="the server's role may not be used for the bucket 'bucket'"):
        s3_bucket(bucket_context(context, _PLACE))


def test_no_secret_is_in_what_is_said_of_a_door() -> None:
    connection = Connection(
        "c", "redshift", _CONFIG, {"username": "u", "password": "hunter2-x", "secretAccessKey": "k"}
    )
    assert "hunter2-x" not in repr(access(replace(_context(table="t"), connection=connection)))


def _context(more: dict[str, object] | None = None, **asked: object) -> Context:
    connection = Connection("c", "redshift", {**_CONFIG, **(more or {})}, {"username": "u", "password": "p"})
    return Context(connection, Surroundings(FilesRoot(Path("/nowhere"))), asked)
