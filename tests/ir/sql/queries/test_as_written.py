"""A rewritten query gives the rows of the author's query over values, with the cells that it passes on as written.

Cells are written as `+7` here: the engine runs the author's query over the values, and the rewritten one over
structures. Each column that holds cells must have the same values in the second, each written with its sign.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import pytest

from headrace.flows.query.result_types import result_columns
from headrace.ir.sql import Refused
from headrace.ir.sql.queries.query import query
from tests.flows.query.pairs import COLUMNS, compiled

ROWS = [(1, 7, 3, "a"), (2, 10, 20, "a"), (3, 9, None, "b"), (4, None, 4, "b"), (5, 100, 1, "c"), (6, 9, 9, None)]

# before each query: the columns of its result that hold cells, by place
QUERIES = """
2|SELECT a.id, b.v FROM input a JOIN input b ON a.id = b.id WHERE a.v > 8
2|SELECT a.id, a.v, b.u * 2 AS twice FROM input a JOIN input b ON a.v = b.v
2 3|SELECT a.id, a.v, b.u FROM input a LEFT JOIN input b ON a.v = b.u
2|SELECT id, v FROM (SELECT * FROM input) WHERE v > 8
2|SELECT id, w FROM (SELECT id, v AS w FROM input) WHERE w > 8
2|SELECT x, y FROM (SELECT id, v FROM input) AS s(x, y) WHERE y > 8
2|WITH c AS (SELECT id, v AS w FROM input) SELECT id, w FROM c WHERE w BETWEEN 8 AND 10
2|WITH c(x, y) AS (SELECT id, v FROM input), d AS (SELECT * FROM c) SELECT x, y FROM d WHERE y + 1 > 8
2|WITH input AS (SELECT id, v FROM input WHERE v > 8) SELECT * FROM input
2 3|SELECT id, v, u FROM input WHERE v > u ORDER BY v DESC, id
1|SELECT v FROM input WHERE u > 1 UNION SELECT u FROM input WHERE v > 1
1|SELECT v FROM input WHERE u > 1 UNION ALL SELECT u FROM input ORDER BY 1
1|SELECT w FROM (SELECT v AS w FROM input UNION ALL SELECT u FROM input) WHERE w > 8
1|SELECT v FROM input WHERE v > 8 INTERSECT SELECT v FROM input
1|SELECT v FROM input WHERE v > 8 EXCEPT SELECT u FROM input
1 2|SELECT v, u FROM input WHERE v > 1 UNION BY NAME SELECT u, v FROM input WHERE u > 1
1|(SELECT v FROM input ORDER BY v DESC LIMIT 2) UNION ALL (SELECT v FROM input ORDER BY v LIMIT 2) ORDER BY v
1|SELECT v, count(*) AS n FROM input GROUP BY v HAVING v > 8
1|SELECT v, count(*) AS n FROM input GROUP BY ALL HAVING v > 8
1|SELECT v, sum(u) AS n FROM input GROUP BY 1 ORDER BY v DESC
1|SELECT v, sum(u) AS n FROM input GROUP BY v HAVING sum(u) > 1 AND max(v) < 50 ORDER BY 1 DESC
2|SELECT g, max(v) AS v FROM input GROUP BY g HAVING max(v) > 8
2|SELECT g, max(v) FROM input GROUP BY g HAVING min(v) > 8
2 3|SELECT id, max(v) OVER (PARTITION BY g) AS best, v FROM input
2|SELECT id, lag(v) OVER (ORDER BY v, id) AS before FROM input
2|SELECT id, first_value(v) OVER w AS f FROM input WINDOW w AS (PARTITION BY g ORDER BY v DESC, id)
2|SELECT id, v, row_number() OVER (ORDER BY v, id) AS n FROM input QUALIFY n < 4
2|SELECT id, v FROM input QUALIFY rank() OVER (PARTITION BY g ORDER BY v DESC) = 1
1|SELECT DISTINCT v FROM input WHERE v > 8 ORDER BY v DESC
1|SELECT DISTINCT v FROM input WHERE v > 1 ORDER BY v DESC LIMIT 2
2|SELECT DISTINCT ON (g) g, v FROM input ORDER BY g, v DESC
2|SELECT id, coalesce(v, u) AS w FROM input WHERE v > 1 OR u > 1
2|SELECT id, w FROM (SELECT id, coalesce(v, u) AS w FROM input) WHERE w > 8
2|SELECT id, CASE WHEN v > u THEN v ELSE u END AS w FROM input ORDER BY w, id
2|SELECT id, w FROM (SELECT id, CASE WHEN v > u THEN v ELSE u END AS w FROM input) WHERE w > 3
2|SELECT id, w, w + 1 AS more FROM (SELECT id, coalesce(v, 5) AS w FROM input)
2|SELECT id, greatest(v, u) AS w FROM input
2|SELECT id, least(v, u, 8) AS w FROM input
2|SELECT id, nullif(v, 9) AS w FROM input
2|SELECT g, arg_max(v, u) AS w FROM input GROUP BY g
2|SELECT g, first(v ORDER BY u) AS w FROM input GROUP BY g
|SELECT g, sum(DISTINCT v) AS w, count(DISTINCT v) AS n, count(v) AS m FROM input GROUP BY g
2|SELECT id, (SELECT max(v) FROM input) AS w FROM input
2|SELECT id, (SELECT max(b.v) FROM input b WHERE b.v < a.v) AS w FROM input a
|SELECT id, v > (SELECT avg(v) FROM input) AS w FROM input
2|SELECT id, v FROM input a WHERE v IN (SELECT u FROM input)
2|SELECT id, v FROM input a WHERE v NOT IN (SELECT u FROM input WHERE u IS NOT NULL)
2|SELECT id, v FROM input a WHERE (v, id) IN (SELECT v, id FROM input WHERE u > 2)
2|SELECT id, v FROM input a WHERE EXISTS (SELECT 1 FROM input b WHERE b.u = a.v)
2|SELECT id, v FROM input WHERE v IN (7, 9) AND u IS NOT NULL
2|SELECT id, b.v FROM input a JOIN input b USING (id) WHERE b.v > 8
1|SELECT v, a.id FROM input a JOIN input b USING (v) WHERE v > 8
1 2|SELECT v, a.u FROM input a FULL JOIN (SELECT u AS v FROM input) b USING (v) WHERE v > 3
2 3|SELECT * FROM (SELECT id, v, u FROM input) NATURAL JOIN (SELECT id, v FROM input WHERE v > 8)
2|SELECT id, v FROM input a SEMI JOIN (SELECT u FROM input) b ON a.v = b.u
2|SELECT id, v FROM input a ANTI JOIN (SELECT u FROM input) b ON a.v = b.u
2|SELECT a.id, b.v FROM input a, (SELECT a.v AS v) b WHERE b.v > 8
2|SELECT a.id, b.v FROM (input a JOIN input b USING (id)) WHERE a.v > 8
2 3|SELECT * EXCLUDE (g) FROM input WHERE v > 8
3|SELECT * EXCLUDE (g) REPLACE (v * 2 AS v) FROM input WHERE u > 0
2 3|SELECT a.* EXCLUDE (g), b.u + 1 AS more FROM input a JOIN input b ON b.v = a.v
|SELECT v * 2 AS v FROM input WHERE v > 8 ORDER BY v
|SELECT -id AS v, g FROM input WHERE v > 8 ORDER BY v
|SELECT v + u AS s, count(*) AS n FROM input GROUP BY v + u HAVING s > 10
1|SELECT coalesce(v, u) AS w, count(*) AS n FROM input WHERE v > 0 OR u > 0 GROUP BY coalesce(v, u)
1|SELECT coalesce(v, u) AS w, 2 * coalesce(v, u) AS x FROM input GROUP BY coalesce(v, u) HAVING coalesce(v, u) > 3
1|SELECT coalesce(v, u) AS w, sum(v) AS n FROM input GROUP BY w
1|SELECT w FROM (SELECT coalesce(v, u) AS w FROM input GROUP BY coalesce(v, u)) WHERE w > 8
1|SELECT w FROM (SELECT CASE WHEN v > 8 THEN v END AS w FROM input UNION ALL SELECT 100) WHERE w > 8
2|SELECT id, v FROM input WHERE v > 1 ORDER BY ALL
2|SELECT g, v FROM input WHERE v > 1 ORDER BY 2 DESC, 1 LIMIT 3 OFFSET 1
2|SELECT id, any_value(v) AS v FROM input WHERE v > 1 GROUP BY id
2|SELECT id, V AS "Ä x" FROM Input AS I WHERE i.V > 8
2|SELECT (id), (v) AS w FROM ((SELECT * FROM input)) x WHERE x.v > 8
2|SELECT id, coalesce(v, u) AS w FROM input WHERE w > 8
2|SELECT id, v AS w FROM input WHERE w > 8 AND w < 50
2|SELECT id, v AS w FROM input ORDER BY w DESC, id
2|SELECT a.id, (SELECT b.v FROM input b WHERE b.id = a.id AND a.v > 8) AS w FROM input a
2|SELECT id, w FROM (SELECT id, v AS w FROM input WHERE v > 8 UNION ALL SELECT id, 100 FROM input) ORDER BY w, id
|SELECT id, x FROM (SELECT id, v + 0 AS x FROM input UNION ALL SELECT id, 8 FROM input) WHERE x > 8
2|SELECT id, v FROM input WHERE v > 1 AND id IN (SELECT id FROM input WHERE v < u OR u IS NULL)
2|SELECT id, coalesce(max(v) OVER (PARTITION BY g), u) AS w FROM input
2|SELECT id, w FROM (SELECT id, lag(v, 1, 5) OVER (ORDER BY id) AS w FROM input) WHERE w > 6
2|WITH a AS (SELECT id, v FROM input), b AS (SELECT id, v AS w FROM a WHERE v > 8) SELECT id, w FROM b JOIN a USING (id)
2|SELECT id, w FROM (SELECT id, v AS w FROM input) x WHERE NOT EXISTS (SELECT 1 FROM input WHERE u > x.w)
2|SELECT id, v FROM input WHERE (v > 8 OR u > 8) AND v <> u
2|SELECT id, w FROM (SELECT id, v AS w FROM input) WHERE w::VARCHAR LIKE '%9' AND w > 1
2|SELECT id, w FROM (SELECT id, v AS w, w + 1 AS x FROM input) WHERE x > 8
2|SELECT g, max(v) FILTER (WHERE u > 2) AS w FROM input GROUP BY g
2|SELECT id, v FROM (SELECT id, v FROM input ORDER BY v DESC LIMIT 3) WHERE v > 0 ORDER BY v
""".strip().splitlines()


@pytest.fixture(scope="module")
def engine() -> Iterator[Any]:
    connection = duckdb.connect(config={"threads": 1, "default_null_order": "nulls_last"})
    yield connection
    connection.close()


def values(engine: Any, sql: str) -> list[tuple[Any, ...]]:
    engine.execute("CREATE OR REPLACE TABLE input (id BIGINT, v BIGINT, u BIGINT, g VARCHAR)")
    engine.executemany("INSERT INTO input VALUES (?, ?, ?, ?)", ROWS)
    return list(engine.execute(sql).fetchall())


def cells(engine: Any, sql: str, paired: frozenset[str], written: str) -> list[tuple[Any, ...]]:
    pair = 'STRUCT("__value" BIGINT, "__text" VARCHAR)'
    types = {name: pair if name in paired else "VARCHAR" for name in "vu"}
    engine.execute(f"CREATE OR REPLACE TABLE input (id BIGINT, v {types['v']}, u {types['u']}, g VARCHAR)")

    def cell(name: str, value: int | None) -> Any:
        text = None if value is None else written.format(value)
        return {"__value": value, "__text": text} if text is not None and name in paired else text

    rows = [(id_, cell("v", v), cell("u", u), g) for id_, v, u, g in ROWS]
    engine.executemany("INSERT INTO input VALUES (?, ?, ?, ?)", rows)
    return list(engine.execute(sql).fetchall())


@pytest.mark.parametrize("given", QUERIES)
def test_a_query_passes_cells_on_as_written_and_computes_with_values(engine: Any, given: str) -> None:
    places, _, text = given.partition("|")
    held = {int(place) - 1 for place in places.split()}
    author = query(text)
    made, plain = result_columns(author, COLUMNS)
    rewritten, paired, names, sql = compiled(author)
    assert paired
    assert [*names] == [*made]
    wanted = values(engine, plain)
    found = cells(engine, sql, paired, "+{}")
    for row in found:
        for place, value in enumerate(row):
            assert place not in held or value is None or str(value) in ("5", "8", "100") or str(value)[0] == "+", sql
            assert place in held or str(value)[:1] != "+", sql
    as_values = [
        tuple(int(value) if place in held and value is not None else value for place, value in enumerate(row))
        for row in found
    ]
    ordered = rewritten.ordered or author.ordered
    assert (as_values if ordered else sorted(as_values, key=repr)) == (
        wanted if ordered else sorted(wanted, key=repr)
    ), sql
    results = author.cells(["v", "u"], [*COLUMNS]).results
    assert {*results} == {name for place, name in enumerate(made) if place in held}
    assert {*author.cells(["v", "u"]).results} <= {*results}
    assert author.cells(["v", "u"]).values == paired


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a.id, v FROM input a ASOF JOIN (SELECT v, u FROM input) b USING (v) WHERE v > 8",
        "SELECT v, a.u FROM input a JOIN (SELECT id AS v FROM input) b USING (v) WHERE v > 8",
        "SELECT DISTINCT v, u FROM input WHERE v > 8 ORDER BY v, id + v",
        f"SELECT id FROM input WHERE {'(SELECT coalesce(' * 9}v{', 1))' * 9} > 8",
    ],
)
def test_what_cannot_be_decided_is_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(Refused, match="needs values of 'v'") as refused:
        compiled(query(text))
    assert "declare the type of 'v'" in refused.value.hint
