"""Plans of graphs, compared as a whole, and problems that are reported before anything runs."""

from __future__ import annotations

from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from headrace.flows.validation.check import check_types
from headrace.ir import parse_ir
from tests.flows.compile.graphs import (
    COUNT,
    CUSTOMERS,
    FILTER,
    ORDERS,
    branch,
    document,
    join,
    plan,
    source,
    target,
    transform,
)


def test_a_fan_out_is_one_stage(snapshot: SnapshotAssertion) -> None:
    nodes = source("src", ORDERS), transform("pos", "src", FILTER), target("some", "pos"), target("all", "src")
    assert plan(*nodes).describe() == snapshot


def test_a_branch_is_one_stage(snapshot: SnapshotAssertion) -> None:
    nodes = source("src", ORDERS), branch("by", "src", big="amount > 100"), target("b", "by.big")
    assert plan(*nodes).describe() == snapshot


def test_a_join_and_an_aggregate_end_stages(snapshot: SnapshotAssertion) -> None:
    nodes = (
        source("orders", ORDERS),
        source("customers", CUSTOMERS),
        join("both", "orders", "customers"),
        branch("by", "both", "small", big="amount > 100"),
        target("b", "by.big"),
        target("s", "by.small"),
        transform("counts", "both", FILTER, COUNT),
        target("c", "counts"),
    )
    made = plan(*nodes)
    assert made.describe() == snapshot
    assert made.total_rows == 4_000_000
    assert [len(stage.partitions) for stage in made.stages] == [2, 2, 2, 2]


def test_there_are_as_many_buckets_as_the_rows_need_and_those_of_the_attempt_before() -> None:
    nodes = source("src", CUSTOMERS), transform("counts", "src", COUNT), target("c", "counts")
    assert [len(stage.partitions) for stage in plan(*nodes, rows=8_000_000).stages] == [2, 3]
    assert [len(stage.partitions) for stage in plan(*nodes, rows=1000).stages] == [2, 1]
    assert [len(stage.partitions) for stage in plan(*nodes, rows=1000, buckets={"counts.0": 7}).stages] == [2, 7]


def problems(*nodes: dict[str, Any]) -> list[tuple[str, str, str]]:
    parsed = parse_ir(document(*nodes))
    found = parsed.problems if parsed.ir is None else check_types(parsed.ir)
    return [(problem.path, problem.code, problem.hint) for problem in found]


SRC = source("src", ORDERS)
TO = target("t", "x")


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (
            [SRC, branch("x", "src", big="amount > 1"), target("t", "x.bigg")],
            ("nodes[2].input", "unknown_route", "big"),
        ),
        ([SRC, branch("x", "src", big="amount > 1"), TO], ("nodes[2].input", "no_route", "x.big")),
        ([SRC, target("t", "src.big")], ("nodes[1].input", "unknown_route", "write 'src'")),
        (
            [SRC, branch("x", "src", "bgi", big="amount > 1"), target("t", "x.big")],
            ("nodes[1].default", "unknown_route", "big"),
        ),
        (
            [SRC, branch("x", "src", big="amuont > 1"), target("t", "x.big")],
            ("nodes[1].routes[0].when", "unknown_column", "'amount'"),
        ),
        (
            [SRC, branch("x", "src", big="amount"), target("t", "x.big")],
            ("nodes[1].routes[0].when", "not_boolean", "write a comparison"),
        ),
        (
            [SRC, source("c", CUSTOMERS), join("x", "src", "c", on=[{"left": "custmer", "right": "nr"}]), TO],
            ("nodes[2].on[0].left", "unknown_column", "'customer'"),
        ),
        (
            [SRC, source("c", CUSTOMERS), join("x", "src", "c", on=[{"left": "customer", "right": "name"}]), TO],
            ("nodes[2].on[0]", "impossible_cast", "cast one of them"),
        ),
        (
            [source("o", ORDERS | {"note2": "text"}), source("c", CUSTOMERS), join("x", "o", "c", suffix="2"), TO],
            ("nodes[2].suffix", "column_exists", "choose another suffix"),
        ),
        (
            [SRC, source("c", CUSTOMERS | {f"c{n}": "text" for n in range(5_000)}), join("x", "src", "c"), TO],
            ("nodes[2]", "too_many_columns", "drop some before it"),
        ),
        ([SRC, join("x", "src", "nowhere"), TO], ("nodes[1].inputs[1]", "unknown_input", "")),
    ],
)
def test_what_is_wrong_with_a_graph_is_reported_with_its_place(
    nodes: list[dict[str, Any]], expected: tuple[str, str, str]
) -> None:
    path, code, hint = expected
    found = problems(*nodes)
    assert [(each[0], each[1]) for each in found] == [(path, code)]
    assert hint in found[0][2]


@pytest.mark.parametrize(
    ("op", "expected"),
    [
        ({"type": "deduplicate", "keys": ["idd"]}, ("keys[0]", "unknown_column")),
        ({"type": "deduplicate", "keys": ["id"], "orderBy": ["amuont"]}, ("orderBy[0]", "unknown_column")),
        ({"type": "sort", "by": ["notes"]}, ("by[0].field", "unknown_column")),
        (
            {"type": "aggregate", "groupBy": ["nots"], "aggregations": [{"fn": "count", "as": "n"}]},
            ("groupBy[0]", "unknown_column"),
        ),
        (
            {"type": "aggregate", "aggregations": [{"fn": "sum", "field": "note", "as": "n"}]},
            ("aggregations[0].field", "wrong_type"),
        ),
        ({"type": "aggregate", "aggregations": [{"fn": "sum", "as": "n"}]}, ("aggregations[0]", "missing_field")),
        (
            {"type": "aggregate", "groupBy": ["id"], "aggregations": [{"fn": "count", "as": "id"}]},
            ("aggregations[0]", "column_exists"),
        ),
        ({"type": "summarize", "fields": ["amont"]}, ("fields[0]", "unknown_column")),
        (
            {"type": "pivot", "groupBy": ["note"], "on": "id", "values": ["one"], "field": "amount"},
            ("values[0]", "rule_arguments"),
        ),
        ({"type": "unpivot", "fields": ["note"], "nameTo": "id"}, ("nameTo", "column_exists")),
        ({"type": "sql", "query": "SELECT amuont FROM input"}, ("query", "unknown_column")),
        ({"type": "sql", "query": "SELECT FROM WHERE"}, ("query", "query_refused")),
    ],
)
def test_what_is_wrong_with_an_op_is_reported_with_its_place(op: dict[str, Any], expected: tuple[str, str]) -> None:
    path, code = expected
    found = problems(SRC, transform("x", "src", op), TO)
    assert [(each[0], each[1]) for each in found] == [(f"nodes[1].ops[0].{path}", code)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        'SELECT * FROM "/etc/passwd"',
        "SELECT * FROM input, other",
        "SELECT * FROM input JOIN read_parquet('x') USING (id)",
        "SELECT * FROM (SELECT * FROM scan_csv('x'))",
        "SELECT id FROM input /* */ UNION SELECT 1",
        "SELECT 1; SELECT 2",
        "DROP TABLE input",
        "WITH a AS (SELECT * FROM read_csv('x')) SELECT * FROM a",
        "SELECT * FROM input WHERE id IN (SELECT id FROM other)",
    ],
)
def test_a_query_reads_nothing_but_its_input(query: str) -> None:
    (found,) = problems(SRC, transform("x", "src", {"type": "sql", "query": query}), TO)
    assert found[:2] == ("nodes[1].ops[0].query", "query_refused")


@pytest.mark.parametrize(
    "condition",
    ["note = 1.1", "1.1 <> note", "note IN (1, 2)", "(note) = -1", "id = note", "id IS NOT DISTINCT FROM note"],
)
def test_text_is_not_compared_with_numbers_in_a_query(condition: str) -> None:
    """DuckDB takes '1.14' for equal to 1.1."""
    for query in (
        f"SELECT id FROM input WHERE {condition}",
        f"SELECT id FROM (SELECT id, note FROM input) AS x JOIN (SELECT 1 AS one) AS y ON {condition}",
    ):
        (found,) = problems(SRC, transform("x", "src", {"type": "sql", "query": query}), TO)
        assert found[:2] == ("nodes[1].ops[0].query", "invalid_query")


@pytest.mark.parametrize(
    "query",
    [
        "select id from input where note = '1' and id = 1 and id in (1, 2) and note in ('a') and length(note) = 2",
        "select id from input a where a.id = 1.5 and a.note = (select max(note) from input)",
        "select id, count(*) as n from input group by id order by n, id",
        'SELECT "note", trim(both from note) AS x FROM "input" WHERE note <> \'from nowhere\'',
        "WITH a AS (SELECT id FROM input), b AS (SELECT id FROM a) SELECT a.id FROM a JOIN b USING (id)",
        "SELECT extract(year FROM date '2024-01-01') AS y, i.id FROM input AS i",
        "SELECT id FROM (SELECT id, note FROM input) AS x UNION ALL SELECT id FROM input",
    ],
)
def test_queries_over_the_input_are_taken(query: str) -> None:
    found = problems(SRC, transform("x", "src", {"type": "sql", "query": query}), TO)
    assert not [each for each in found if each[1] == "query_refused"]
