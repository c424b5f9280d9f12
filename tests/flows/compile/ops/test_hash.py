"""hash: the same digests as everybody else's, salted by a secret the document only names."""

from __future__ import annotations

import hashlib
import hmac
from datetime import date
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.flows.compile import logical_plan
from headrace.ir import parse_ir
from headrace.ir.schema import Field
from tests.effort import examples
from tests.flows.pipelines import SCHEMA, document, logical

SALT = "a salt of sixteen or more"
TEXT = st.text(alphabet=st.characters(blacklist_categories=("Cs",)), max_size=20)


def hashed(op: dict[str, Any], secrets: dict[str, Any] | None = None, **columns: pl.Series) -> pl.DataFrame:
    """What a pipeline with this op alone makes of the columns."""
    types = {"i": "bigint", "t": "text", "u": "text", "d": "date"}
    schema = tuple(Field(name, types[name]) for name in columns)  # type: ignore[arg-type]
    parsed = parse_ir(document([{"type": "hash", **op}]))
    assert parsed.ir is not None, parsed.problems
    plan = logical_plan(parsed.ir, {"src": schema}, {}, secrets=secrets or {})
    assert not plan.problems, plan.problems
    (step,) = plan.nodes["clean"].steps
    return step.apply(pl.DataFrame(columns).lazy()).collect()


@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "md5"])
@settings(max_examples=examples(20))
@given(values=st.lists(st.none() | TEXT, max_size=5))
def test_digests_are_those_of_the_standard_library(algorithm: str, values: list[str | None]) -> None:
    out = hashed({"fields": ["t"], "algorithm": algorithm}, t=pl.Series(values, dtype=pl.String))
    digest = [None if v is None else hashlib.new(algorithm, v.encode()).hexdigest() for v in values]
    assert out["t"].to_list() == digest


def test_xxh3_is_the_reference_implementation_s() -> None:
    # The vectors of the xxHash specification's sanity test for the empty input, and of its own command line.
    out = hashed({"fields": ["t"], "algorithm": "xxh3_64"}, t=pl.Series(["", "abc", None]))
    assert out["t"].to_list() == ["2d06800538d394c2", "78af5f94892f3950", None]


def test_sha256_is_the_default_and_numbers_and_dates_are_hashed_as_text() -> None:
    out = hashed({"fields": ["i", "d"]}, i=pl.Series([42]), d=pl.Series([date(2024, 2, 29)]))
    assert out["i"].item() == hashlib.sha256(b"42").hexdigest()
    assert out["d"].item() == hashlib.sha256(b"2024-02-29").hexdigest()


def test_several_fields_together_are_reported_apart_by_where_one_ends() -> None:
    t = pl.Series(["ab", "a", None, "", None], dtype=pl.String)
    u = pl.Series(["c", "bc", "", None, None], dtype=pl.String)
    out = hashed({"fields": ["t", "u"], "to": "key"}, t=t, u=u)
    assert out["key"][0] == hashlib.sha256(b"ab\x1fc").hexdigest()
    assert out["key"][:4].n_unique() == 4
    assert out["key"][4] is None
    assert out["t"].to_list() == t.to_list()


def test_the_salt_is_a_credential_of_the_connector() -> None:
    op = {"fields": ["t"], "salt": "${credentials.saltPeople}"}
    out = hashed(op, {"saltPeople": SALT}, t=pl.Series(["Ann"]))
    assert out["t"].item() == hmac.new(SALT.encode(), b"Ann", hashlib.sha256).hexdigest()


def test_a_salt_that_is_not_there_is_a_problem_of_the_run_and_not_of_saving() -> None:
    ops = [{"type": "hash", "fields": ["name"], "salt": "${credentials.saltPeople}"}]
    assert not logical(ops).problems
    parsed = parse_ir(document(ops))
    assert parsed.ir is not None
    (problem,) = logical_plan(parsed.ir, {"src": SCHEMA}, {}, secrets={"other": "x"}).problems
    assert (problem.path, problem.code) == ("nodes[1].ops[0].salt", "unknown_secret")


def test_a_salt_written_into_the_document_is_refused_and_not_repeated() -> None:
    (problem,) = parse_ir(document([{"type": "hash", "fields": ["name"], "salt": "hunter2"}])).problems
    assert (problem.path, problem.code) == ("nodes[1].ops[0].salt", "secret_reference")
    assert "hunter2" not in problem.message + problem.hint


def test_the_plan_does_not_show_the_salt() -> None:
    parsed = parse_ir(document([{"type": "hash", "fields": ["name"], "salt": "${credentials.saltPeople}"}]))
    assert parsed.ir is not None
    plan = logical_plan(parsed.ir, {"src": SCHEMA}, {}, secrets={"saltPeople": SALT})
    assert [step.label for step in plan.nodes["clean"].steps] == ["hash name (sha256, salted)"]


@pytest.mark.parametrize(
    ("op", "path", "code"),
    [
        ({"fields": ["nam"]}, "nodes[1].ops[0].fields[0]", "unknown_column"),
        ({"fields": ["name"], "to": "id"}, "nodes[1].ops[0].to", "column_exists"),
    ],
)
def test_misspelt_and_taken_columns_are_problems(op: dict[str, Any], path: str, code: str) -> None:
    assert [(p.path, p.code) for p in logical([{"type": "hash", **op}]).problems] == [(path, code)]
