"""From realistic files to tables: a cell's value arrives unchanged, or its row is reported."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.connectors.errors import SourceError
from headrace.flows.dry_run.plan import plan_run
from headrace.flows.dry_run.preview import preview
from headrace.flows.runtime.errors import PlanFailed
from headrace.flows.runtime.execute import RunTotals
from headrace.flows.runtime.prepare import prepare
from headrace.flows.runtime.stored_plan import stored_plan
from tests.flows.runtime.runs import Runner

pytestmark = pytest.mark.postgres


class Case(Runner):
    """A table, files in the folder, and a pipeline between them."""

    def table(self, columns: str, more: str = "") -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"DROP TABLE IF EXISTS t; CREATE TABLE t ({columns}); {more}")  # type: ignore[arg-type]

    def rows(self, query: str = "") -> list[tuple[Any, ...]]:
        """By themselves all rows, without the load's own column."""
        with psycopg.connect(self.url) as connection:
            found = connection.execute(query or "SELECT * FROM t ORDER BY 1").fetchall()  # type: ignore[arg-type]
        return found if query else [row[:-1] for row in found]

    def put(self, content: str | bytes, name: str = "a.csv") -> None:
        path = self.files / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def nodes(self, *between: dict[str, Any], config: dict[str, Any] | None = None, **target: Any) -> list[Any]:
        chain: list[dict[str, Any]] = [
            {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": "a.csv", **(config or {})}}
        ]
        for node in between:
            chain.append({**node, "input": chain[-1]["id"]})
        return [*chain, {"id": "tgt", "kind": "target", "input": chain[-1]["id"], "schema": "public.t", **target}]

    def load(self, *between: dict[str, Any], **given: Any) -> RunTotals:
        return self.run(self.nodes(*between, **given))

    @property
    def failed(self) -> list[tuple[int, str | None]]:
        return sorted({(row, column) for _, row, column, _, _ in self.recorder.cells}, key=str)


@pytest.fixture
def case(tmp_path: Path, database_url: str) -> Case:
    return Case(tmp_path, database_url)


def ops(*given: dict[str, Any]) -> dict[str, Any]:
    return {"id": "ops", "kind": "transform", "ops": list(given)}


def test_text_arrives_as_it_is_written(case: Case) -> None:
    case.table("id bigint PRIMARY KEY, phone text, version varchar(9), code text, flag text, stamp text, neg text")
    rows = [(1, "+4915112345678", "1.10", "1e5", "TRUE", "2024-01-05 10:30:00+02:00", "-0"),
            (2, "+4915112345679", "1.20", "007", "False", "2024-01-06T11:45", "-0.0")]  # fmt: skip
    case.put("id,phone,version,code,flag,stamp,neg\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    case.load()
    assert case.rows() == rows


def test_a_code_far_into_the_file_keeps_its_zero_and_its_row(case: Case) -> None:
    case.table("code text PRIMARY KEY, n integer")
    lines = [f"{100_000 + n},{n}" for n in range(60_000)]
    lines[45_007], lines[45_008], lines[45_009] = "0145007,45007", "X1,45008", "145007,45009"
    case.put("code,n\n" + "\n".join(lines))
    totals = case.load(loadMode="upsert", upsertKey=["code"])
    assert (totals.rows_in, totals.rows_out, totals.failed, totals.skipped) == (60_000, 60_000, 0, 0)
    assert case.rows("SELECT code FROM t WHERE n IN (45007, 45008, 45009) ORDER BY n") == [
        ("0145007",), ("X1",), ("145007",)
    ]  # fmt: skip


def test_keys_of_numbers_are_compared_as_numbers(case: Case) -> None:
    case.table("id bigint PRIMARY KEY, v text")
    case.put("id,v\n7,a\n07,b\n+8,c\n")
    totals = case.load(loadMode="upsert", upsertKey=["id"])
    assert (totals.rows_out, totals.skipped) == (2, 1)
    assert case.rows() == [(7, "b"), (8, "c")]


def test_text_passes_through_stages_rules_and_computations(case: Case) -> None:
    case.table("v text, twice numeric, big text")
    case.put("v,grp\n1.10,a\n02.50,a\n+3.0,b\nx,b\n1.10,a\n")
    between = [
        ops({"type": "deduplicate", "keys": ["v"]}, {"type": "add_field", "field": "twice", "expression": "v * 2"}),
        {"id": "ok", "kind": "validate", "rowLevel": [{"id": "r", "field": "v", "rule": "gt:1"}]},
        {"id": "more", "kind": "transform", "ops": [{"type": "add_field", "field": "big", "expression": "v"}]},
    ]
    case.load(*between)
    assert case.rows("SELECT v, twice::float, big FROM t ORDER BY v") == [
        ("+3.0", 6.0, "+3.0"), ("02.50", 5.0, "02.50"), ("1.10", 2.2, "1.10")
    ]  # fmt: skip


NUMBERS = ["1.10", "+4915112345678", "1e5", "10", "-0", "0.50"]
"""Cells that look like numbers, and that a number would be written differently for."""


def computed(expression: str) -> list[dict[str, Any]]:
    return [{"type": "expression", "field": "v", "expression": expression}]


def queried(columns: str, more: str = "") -> list[dict[str, Any]]:
    return [{"type": "sql", "query": f"SELECT {columns} FROM input {more}"}]


PASSED_ON: dict[str, list[dict[str, Any]]] = {
    **{
        text: computed(text)
        for text in (
            "(v)",
            "COALESCE(v, 'none')",
            "COALESCE(v, 0)",
            "IFNULL(v, u)",
            "NULLIF(v, 77)",
            "IF(v > 5, v, v)",
            "CASE WHEN v > 0 AND u > 0 THEN v WHEN v < 0 THEN NULL ELSE v END",
            "CASE id WHEN 1 THEN v ELSE COALESCE(NULLIF(v, -1), u) END",
            "GREATEST(v, v)",
            "LEAST(v, u)",
            "CAST(v AS text)",
            "v::varchar",
            "CASE WHEN v >= 0 THEN CAST(v AS VARCHAR) ELSE v || '' END",
            "CONCAT(v)",
            "v || ''",
            "LOWER(v)",
            "CASE WHEN LENGTH(v) > 0 AND v > -1 THEN REPLACE(v, 'x', '') ELSE v END",
        )
    },
    "fill_null": [{"type": "fill_null", "fields": ["v"], "from": "u"}],
    "two ops": [*computed("COALESCE(v, u)"), {"type": "filter", "expression": "v < 9e99"}, *computed("COALESCE(v, 0)")],
    "max": [{"type": "aggregate", "groupBy": ["id"], "aggregations": [{"field": "v", "fn": "max", "as": "v"}]}],
    "min": [{"type": "aggregate", "groupBy": "id", "aggregations": [{"field": "v", "fn": "min", "as": "v"}]}],
    "pivot": [
        {"type": "pivot", "groupBy": "id", "on": "g", "values": [{"value": "a", "as": "v"}], "field": "v", "fn": "max"}
    ],
    "summarize": [
        {"type": "summarize", "groupBy": "id", "fields": ["v"], "stats": ["max"]},
        {"type": "rename", "from": "max", "to": "v"},
    ],
    "SELECT id, v": queried("id, v"),
    "SELECT *": queried("*"),
    "WHERE": queried("id, v", "WHERE v > -1 AND v < 9e99"),
    "ORDER BY": queried("id, v", "ORDER BY v DESC"),
    "GROUP BY": queried("v, min(id) AS id", "GROUP BY v"),
    "DISTINCT": queried("DISTINCT id, v"),
    "PARTITION BY": queried("id, v, sum(u) OVER (PARTITION BY g ORDER BY v) AS total"),
    "first": queried("id, first(v) AS v", "GROUP BY id"),
    "max of SQL": queried("id, max(v) AS v", "GROUP BY id"),
    "CASE of SQL": queried("id, CASE WHEN v > 5 THEN v ELSE coalesce(v, u) END AS v"),
    "CAST of SQL": queried("id, v::VARCHAR || '' AS v", "WHERE v < 9e99"),
    "WITH": [{"type": "sql", "query": "WITH x AS (SELECT id, v AS w FROM input) SELECT id, w AS v FROM x"}],
    "UNION": [{"type": "sql", "query": "SELECT id, v FROM input UNION SELECT id, v FROM input"}],
    "JOIN": [{"type": "sql", "query": "SELECT a.id, b.v FROM input a JOIN input b ON a.id = b.id"}],
    "JOIN by value": [
        {"type": "sql", "query": "SELECT a.id, b.v FROM input a JOIN input b ON a.v = b.v WHERE a.u > 5 AND b.v > -1"}
    ],
    "subquery": [{"type": "sql", "query": "SELECT id, w AS v FROM (SELECT id, v AS w FROM input) WHERE w < 9e99"}],
    "names by place": [{"type": "sql", "query": "SELECT i AS id, w AS v FROM (FROM input) s(i, w) WHERE w < 9e99"}],
    "star of a subquery": [{"type": "sql", "query": "SELECT * FROM (SELECT * FROM input) WHERE v < 9e99"}],
    "HAVING": queried("v, min(id) AS id", "GROUP BY v HAVING v < 9e99 AND max(u) > 5"),
    "UNION of values": [
        {"type": "sql", "query": "SELECT id, v FROM input WHERE v < 5 UNION SELECT id, v FROM input WHERE v >= 5"}
    ],
    "two queries": [*queried("id, v AS w, u", "WHERE v < 9e99"), *queried("id, w AS v", "WHERE w < u")],
    "then a filter": [*queried("id, v"), {"type": "filter", "expression": "v < 9e99"}],
}  # fmt: skip


@pytest.mark.parametrize("name", PASSED_ON)
def test_what_is_passed_on_is_as_it_is_written(case: Case, name: str) -> None:
    case.table("id integer, v text")
    case.put("id,v,u,g\n" + "".join(f"{n},{cell},9e15,a\n" for n, cell in enumerate(NUMBERS)))
    case.load(ops(*PASSED_ON[name]))
    assert not case.failed
    assert case.rows("SELECT id, v FROM t ORDER BY id") == [*enumerate(NUMBERS)]


def test_a_query_that_cannot_return_cells_as_written_is_refused_with_the_remedy(case: Case) -> None:
    case.table("id integer, v text")
    case.put("id,v\n1,1.10\n2,2.0\n")
    nodes = case.nodes(ops({"type": "sql", "query": "SELECT DISTINCT id, v FROM input ORDER BY v, v + id"}))
    with pytest.raises(PlanFailed, match=r"needs values of 'v'.*declare the type of 'v' in `fields`"):
        case.run(nodes)
    nodes[0]["fields"] = [{"name": "id", "dataType": "integer"}, {"name": "v", "dataType": "double"}]
    case.run(nodes)
    assert case.rows("SELECT id FROM t ORDER BY 1") == [(1,), (2,)]


@pytest.mark.parametrize(
    "expression", ["COALESCE(v, u)", "CASE WHEN v > 1 THEN v ELSE u END", "GREATEST(v, u)", "NULLIF(v, 0)"]
)
def test_what_is_passed_on_is_read_as_the_column_it_reaches(case: Case, expression: str) -> None:
    case.table("id integer, v bigint")
    case.put("id,v,u\n1,007,+5\n2,,12\n3,x,1\n")
    case.load(ops(*computed(expression)))
    assert [row for _, row, _, _, _ in case.recorder.cells] == [3]
    assert dict(case.rows())[1] == 7


def test_passed_on_cells_are_still_values_behind_it(case: Case) -> None:
    case.table("id integer, v text, twice double precision")
    case.put("id,v,u\n1,1.50,2\n2,,20.0\n3,3.250,1\n")
    between = ops(
        *computed("COALESCE(v, u)"),
        {"type": "filter", "expression": "v > 2"},
        {"type": "add_field", "field": "twice", "expression": "v * 2"},
    )
    case.load(between)
    assert case.rows() == [(2, "20.0", 40.0), (3, "3.250", 6.5)]


def test_the_text_of_a_cell_is_not_that_of_its_value(case: Case) -> None:
    case.table("id integer, v double precision, label text")
    case.put("id,v\n1,1.10\n2,+2\n")
    case.load(ops({"type": "add_field", "field": "label", "expression": "CONCAT(id, ': ', v, ' EUR')"}))
    assert case.rows() == [(1, 1.1, "1: 1.10 EUR"), (2, 2.0, "2: +2 EUR")]


@pytest.mark.parametrize("kind", ["inner", "left", "full"])
@pytest.mark.parametrize("key", ["bigint", "text"])
def test_a_join_compares_keys_as_the_table_has_them(case: Case, kind: str, key: str) -> None:
    case.table(f"id {key}, name text, code text")
    case.put("id,name\n1,a\n02,b\n")
    case.put("key,code\n01,1.10\n02,007\n", "b.csv")
    nodes = case.nodes({"id": "j", "kind": "join"})
    on = [{"left": "id", "right": "key"}]
    nodes[1] = {"id": "j", "kind": "join", "inputs": ["src", "o"], "type": kind, "on": on}
    nodes.append({"id": "o", "kind": "source", "connector": "local_fs", "config": {"path": "b.csv"}})
    case.run(nodes)
    if key == "bigint":
        assert case.rows() == [(1, "a", "1.10"), (2, "b", "007")]
    else:
        alone = {"inner": [], "left": [("1", "a", None)], "full": [("01", None, "1.10"), ("1", "a", None)]}
        assert case.rows('SELECT id, name, code FROM t ORDER BY id COLLATE "C"') == sorted(
            [("02", "b", "007"), *alone[kind]]
        )


def test_rules_about_all_rows_measure_values_of_cells(case: Case) -> None:
    case.table("n numeric, t text")
    case.put("n,t\n1.10,01\n2.30,2\n")
    level = {
        "statistic": [{"field": each, "fn": "sum", "min": 3, "max": 3.5, "onFail": "abort"} for each in ("n", "t")]
    }
    case.load({"id": "ok", "kind": "validate", "datasetLevel": level})
    assert case.rows("SELECT n::text, t FROM t ORDER BY 1") == [("1.10", "01"), ("2.30", "2")]


def test_json_takes_the_cell_as_json(case: Case) -> None:
    case.table("id int, a jsonb, b jsonb")
    case.put("id,a,b\n1,1.10,true\n2,1e2,false\n3,[,null\n")
    case.load()
    assert case.rows("SELECT id, a::text, b::text FROM t ORDER BY 1") == [(1, "1.10", "true"), (2, "100", "false")]
    assert case.failed == [(3, "a")]


def test_digits_of_a_numeric_without_a_size_are_all_there(case: Case) -> None:
    case.table("n numeric, m numeric")
    case.put("n,m\n1.10,12345678901234567890123456789012345678901.5\n-0.00,1e-20\n")
    case.load({"id": "ok", "kind": "validate", "rowLevel": [{"id": "r", "field": "n", "rule": "gte:0"}]})
    assert case.rows("SELECT n::text, m::text FROM t ORDER BY n DESC") == [
        ("1.10", "12345678901234567890123456789012345678901.5"), ("0.00", "0.00000000000000000001")
    ]  # fmt: skip


def test_plans_previews_and_later_attempts_have_the_types_of_the_run(case: Case) -> None:
    case.table("id bigint, v text")
    case.put("id,v\n1,01\n2,2\n")
    check = {"id": "ok", "kind": "validate", "rowLevel": [{"id": "r", "field": "v", "rule": "gt:0"}]}
    job = case.job(case.nodes(check))
    prepared = prepare(job)
    stored = stored_plan(prepared)
    types = {"id": "bigint", "v": "text"}
    assert {field["name"]: field["data_type"] for field in stored["schemas"]["src"]} == types
    assert stored["views"]["src"]["v"][0]["data_type"] == "integer"
    shown = preview(job, rows=5)
    assert {field.name: field.data_type for field in shown[0].fields} == types
    assert [row.values["v"] for row in shown[-1].rows] == ["01", "2"]
    assert "v as integer" in plan_run(job).targets[0].sql
    with psycopg.connect(case.url, autocommit=True) as connection:
        connection.execute("ALTER TABLE t ALTER id TYPE text")
    again = prepare(replace(job, continues=replace(job.continues, earlier_plan=stored)))
    assert again.discoveries["src"].schema == prepared.discoveries["src"].schema
    assert again.views == prepared.views


@pytest.mark.parametrize("kind", ["numeric", "double precision", "numeric(10, 2)"])
def test_numbers_of_another_format_are_numbers_and_codes_beside_them_are_as_written(case: Case, kind: str) -> None:
    case.table(f"id text, phone text, price {kind}, label text")
    rows = [(f"{n:05}", f"+49{n}", f"{n % 9}.234,50", f"{n}") for n in range(200)]
    rows[150] = ("7", "0049", "x", "1e5")
    case.put("id;phone;price;label\n" + "".join(";".join(row) + "\n" for row in rows))
    case.load(config={"options": {"delimiter": ";", "decimal": ",", "thousands": "."}})
    assert case.failed == [(151, "price")]
    found = case.rows("SELECT id, phone, price::float, label FROM t ORDER BY label::int")
    assert found == [(i, p, float(v.replace(".", "").replace(",", ".")), q) for i, p, v, q in rows if v != "x"]


QUOTES: list[tuple[str, list[int], list[int]]] = [
    ('1,pipe\n2,5" pipe\n3,c\n4,d\n5,6" pipe\n6,f\n', [1, 3, 4, 6], [2, 5]),
    ('1,a\n2,"size 5\\""\n3,c\n4,d\n5,"size 5\\""\n6,f\n', [1, 3, 4, 6], [2, 5]),
    ('1,a\n2,"never\n3,c\n4,"d"\n', [1, 3, 4], [2]),
]


@pytest.mark.parametrize(("text", "loaded", "rejected"), QUOTES)
def test_a_quote_costs_its_own_row(case: Case, text: str, loaded: list[int], rejected: list[int]) -> None:
    case.table("id bigint PRIMARY KEY, name text")
    case.put("id,name\n" + text)
    totals = case.load()
    assert (totals.rows_in, totals.rows_out, totals.failed) == (len(loaded) + len(rejected), len(loaded), len(rejected))
    assert case.rows("SELECT id FROM t ORDER BY 1") == [(row,) for row in loaded]
    assert [row for row, _ in case.failed] == rejected


def test_rows_between_stray_quotes_all_load_from_all_partitions(case: Case) -> None:
    case.table("id bigint PRIMARY KEY, name text")
    chance = random.Random(7)
    kinds = ["plain {n}", '"quoted, {n}"', '"two\nlines {n}"', '"doubled ""{n}"""', '{n}" pipe']
    chosen = [chance.choices(range(5), [60, 10, 10, 10, 1])[0] for _ in range(150_000)]
    case.put("id,name\n" + "".join(f"{n},{kinds[kind].format(n=n)}\n" for n, kind in enumerate(chosen)))
    totals = case.load()
    assert (totals.rows_in, totals.failed) == (150_000, chosen.count(4))
    assert case.rows("SELECT count(*), sum(id) FROM t") == [
        (150_000 - chosen.count(4), sum(n for n, kind in enumerate(chosen) if kind != 4))
    ]


HEADERS = [" id , name,qty", "id,NAME,QTY", '\ufeffID,Name,"qty"', "name,Qty, ID "]
INVISIBLE = ["\u200bid,\ufeffname,qty\u00a0", "\u00a0id\u200b,name\u2060,\u200eqty"]


@pytest.mark.parametrize("header", [*HEADERS, *INVISIBLE])
def test_a_header_is_matched_where_it_is_plain_what_is_meant(case: Case, header: str) -> None:
    case.table("id bigint PRIMARY KEY, name text, qty integer")
    values = {"id": "1", "name": "Ann", "qty": "5"}
    names = [name.strip(' "\ufeff\u200b\u00a0\u2060\u200e').lower() for name in header.split(",")]
    case.put(f"{header}\n" + ",".join(values[name] for name in names) + "\n")
    case.load()
    assert case.rows() == [(1, "Ann", 5)]
    assert any("named alike" in line or "the header's" in line for line in case.recorder.lines)
    assert header not in INVISIBLE or any(r"\u200b" in line for line in case.recorder.lines)


@pytest.mark.parametrize(
    ("header", "delimiter"), [("id;name;qty", ";"), ("id\tname\tqty", r"\t"), ("id|name|qty", "|")]
)
def test_a_header_with_another_delimiter_is_named_with_the_remedy(case: Case, header: str, delimiter: str) -> None:
    case.table("id bigint PRIMARY KEY, name text, qty integer")
    case.put(f"{header}\n1,Ann,2\n")
    with pytest.raises(PlanFailed) as failed:
        prepare(case.job(case.nodes()))
    (problem,) = failed.value.problems
    assert f"the data have '{header}'" in problem.message
    assert f'set options.delimiter of the source to "{delimiter}"' in problem.hint


def test_columns_that_stay_empty_are_reported(case: Case) -> None:
    case.table("id bigint PRIMARY KEY, name text, qty integer, at timestamptz DEFAULT now()")
    case.put("id,nme\n1,Ann\n")
    case.load()
    assert "public.t: the data have nothing for name, qty: null in all rows that are loaded" in case.recorder.lines
    assert "public.t: the data have nothing for at: the database fills them in" in case.recorder.lines
    assert "public.t has no column for nme: not loaded" in case.recorder.lines


def test_parquet_times_are_rounded_and_numbers_that_json_lacks_are_told(case: Case) -> None:
    case.table("id integer, t time, stamp timestamp, label text, n jsonb")
    nanos = [1_500, 86_399_999_999_400, 86_399_999_999_999]
    table = {
        "id": [1, 2, 3],
        "t": pa.array(nanos, pa.time64("ns")),
        "stamp": pa.array([1_500, 2_500, 0], pa.timestamp("ns")),
        "label": pa.array(nanos, pa.time64("ns")),
        "n": pa.array([[("a", 1.5)], [("a", float("inf"))], []], pa.map_(pa.string(), pa.float64())),
    }
    pq.write_table(pa.table(table), case.files / "a.parquet")
    case.load(config={"path": "a.parquet"})
    assert case.failed == [(2, "n"), (3, "t")]
    (row,) = case.rows("SELECT id, t::text, stamp::text, label, n::text FROM t")
    assert row == (1, "00:00:00.000002", "1970-01-01 00:00:00.000002", "00:00:00.0000015", '{"a": 1.5}')


def test_timestamps_that_neither_python_nor_the_table_has_are_error_rows_and_offsets_are_zones(case: Case) -> None:
    case.table("id integer, at timestamptz, stamp timestamp")
    table = {
        "id": [1, 2],
        "at": pa.array([0, 1], pa.timestamp("us", "+05:30")),
        "stamp": pa.array([253_402_300_800_000_000, -377_705_116_800_000_000], pa.timestamp("us")),
    }
    pq.write_table(pa.table(table), case.files / "a.parquet")
    nodes = case.nodes(config={"path": "a.parquet"})
    shown = preview(case.job(nodes), rows=5)
    assert [row.values["stamp"] for row in shown[0].rows] == [
        "+10000-01-01 00:00:00.000000",
        "-9999-01-01 00:00:00.000000",
    ]
    case.run(nodes)
    assert [(row, column, value) for _, row, column, value, _ in case.recorder.cells] == [
        (2, "stamp", "-9999-01-01 00:00:00.000000")
    ]
    assert case.rows("SELECT id, at::text, stamp::text FROM t") == [
        (1, "1970-01-01 00:00:00+00", "10000-01-01 00:00:00")
    ]


@pytest.mark.parametrize("kind", ["date", "text", "timestamp"])
@pytest.mark.parametrize("unit", [pa.date32(), pa.timestamp("ms"), pa.timestamp("us", "UTC")])
def test_days_beyond_any_calendar_are_error_rows(case: Case, kind: str, unit: pa.DataType) -> None:
    case.table(f"id integer, day {kind}")
    size = pa.int32() if unit == pa.date32() else pa.int64()
    greatest = 2**size.bit_width // 2 - 1
    days = pa.array([greatest, 0, 1 - greatest], size).cast(unit)
    pq.write_table(pa.table({"id": [1, 2, 3], "day": days}), case.files / "a.parquet")
    nodes = case.nodes(config={"path": "a.parquet"})
    preview(case.job(nodes), rows=5)
    case.run(nodes)
    assert [(row, column, value) for _, row, column, value, _ in case.recorder.cells] == [
        (1, "day", str(greatest)), (3, "day", str(1 - greatest))
    ]  # fmt: skip
    assert case.rows("SELECT id, left(day::text, 10) FROM t") == [(2, "1970-01-01")]


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_lines_end_as_they_do(case: Case, end: str) -> None:
    case.table("id bigint PRIMARY KEY, name text")
    case.put(end.join(["id,name", "1,Ann", '2,"B\rb"', "3,Cid"]) + end)
    case.load()
    assert case.rows() == [(1, "Ann"), (2, "B\rb"), (3, "Cid")]


@pytest.mark.parametrize("length", [200_000, 3_000_000])
def test_the_first_record_may_be_long(case: Case, length: int) -> None:
    case.table("id bigint PRIMARY KEY, name text")
    case.put(f"1,{'x' * length}\n2,b\n")
    fields = [{"name": "id", "dataType": "bigint"}, {"name": "name", "dataType": "text"}]
    nodes = case.nodes(config={"options": {"header": False}})
    nodes[0]["fields"] = fields
    case.run(nodes)
    assert case.rows("SELECT id, length(name) FROM t ORDER BY 1") == [(1, length), (2, 1)]


SEVERAL = {"path": "in", "pattern": {"type": "glob", "value": "*.csv"}, "ordering": "process_all"}


def test_files_may_lack_a_column_be_empty_and_have_another_order(case: Case) -> None:
    case.table("id bigint PRIMARY KEY, a text, b text")
    case.put("id,a\n1,a1\n", "in/1.csv")
    case.put("B,A,ID\nb2,a2,2\n", "in/2.csv")
    case.put("", "in/3.csv")
    nodes = case.nodes(config=SEVERAL)
    with pytest.raises(SourceError, match=r"in/2\.csv has other columns than in/1\.csv"):
        prepare(case.job(nodes))
    case.run(case.nodes(config={**SEVERAL, "options": {"missingColumns": "null"}}))
    assert case.rows() == [(1, "a1", None), (2, "a2", "b2")]
    case.table("id bigint PRIMARY KEY, a text, b text")
    nodes[0]["fields"] = [
        {"name": name, "dataType": kind} for name, kind in (("id", "bigint"), ("a", "text"), ("b", "text"))
    ]
    case.run(nodes)
    assert case.rows() == [(1, "a1", None), (2, "a2", "b2")]
    assert any("in/1.csv lacks b" in line for line in case.recorder.lines)
    assert any("in/3.csv is empty" in line for line in case.recorder.lines)
    nodes[-1]["schemaContract"] = "freeze"
    with pytest.raises(PlanFailed, match=r"'src' lacks the column 'b' in in/1\.csv, which is loaded into public\.t\.b"):
        prepare(case.job(nodes))
    nodes[0]["config"] = {**SEVERAL, "options": {"missingColumns": "null"}}
    prepare(case.job(nodes)).close()
    nodes[0]["config"] = {**SEVERAL, "options": {"missingColumns": "fail"}}
    with pytest.raises(SourceError, match=r"Column 'b' is not in in/1\.csv"):
        prepare(case.job(nodes))


@pytest.mark.parametrize("other", ["other,columns\n7,8\n", "id;a\n7;8\n"])
def test_a_file_without_any_declared_column_is_no_file_of_nulls(case: Case, other: str) -> None:
    case.table("id bigint, a text")
    case.put("id,a\n1,a1\n", "in/1.csv")
    case.put(other, "in/2.csv")
    nodes = case.nodes(config=SEVERAL)
    nodes[0]["fields"] = [{"name": "id", "dataType": "bigint"}, {"name": "a", "dataType": "text"}]
    with pytest.raises(SourceError, match=r"Column 'id' is not in in/2\.csv"):
        prepare(case.job(nodes))
    nodes[0]["config"] = {**SEVERAL, "onBadFile": "skip"}
    case.run(nodes)
    assert case.rows("SELECT id, a FROM t") == [(1, "a1")]
    assert any("in/2.csv was left out" in line for line in case.recorder.lines)
    case.table("id bigint, a text")
    nodes[0]["config"] = {**SEVERAL, "options": {"missingColumns": "null"}}
    case.run(nodes)
    assert case.rows("SELECT id, a FROM t ORDER BY id") == [(1, "a1"), (None, None)]


def test_a_byte_that_is_no_character_costs_its_row(case: Case) -> None:
    case.table("id bigint PRIMARY KEY, name text")
    lines = [b"%d,caf\xe9" % n for n in range(1, 2001)]
    lines[1499] = b"1500,caf\x81"
    case.put(b"id,name\n" + b"\n".join(lines))
    case.load(config={"options": {"encoding": "cp1252"}})
    assert case.failed == [(1500, None)]
    assert "Not valid cp1252: byte 0x81 at character 9 of the line" in case.recorder.cells[0][4]
    assert case.rows("SELECT count(*), max(name) FROM t") == [(1999, "café")]


def test_a_column_that_begins_with_underscores_is_one_like_any_other(case: Case) -> None:
    case.table("id bigint PRIMARY KEY")
    case.put("id,__deleted\n1,true\n")
    with pytest.raises(PlanFailed, match="__deleted"):
        prepare(case.job(case.nodes(schemaContract="freeze")))
    case.load()
    assert "public.t has no column for __deleted: not loaded" in case.recorder.lines


@pytest.mark.parametrize("state", ["XB001", "40001", "57P01", "08006", "53200"])
def test_a_row_that_the_table_has_no_room_for_or_a_trigger_refuses_is_told(case: Case, state: str) -> None:
    case.table(
        "k text PRIMARY KEY, n integer",
        f"""
        CREATE OR REPLACE FUNCTION evaluate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF new.n = 4 THEN RAISE EXCEPTION 'no fours' USING errcode = '{state}'; END IF; RETURN new; END $$;
        CREATE TRIGGER evaluate BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION evaluate();""",
    )
    noise = random.Random(1).randbytes(9_000).hex()
    case.put(f"k,n\na,1\n{noise},2\nc,3\nd,4\n")
    case.load()
    assert case.rows("SELECT n FROM t ORDER BY 1") == [(1,), (3,)]
    assert [row for row, _ in case.failed] == [2, 4]
    assert any(row == 4 and "No fours" in error for _, row, _, _, error in case.recorder.cells)


def test_a_row_that_a_trigger_keeps_out_is_counted_and_told(case: Case) -> None:
    case.table(
        "k text PRIMARY KEY, n integer",
        """
        CREATE OR REPLACE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF new.n = 2 THEN RETURN NULL; END IF; RETURN new; END $$;
        CREATE TRIGGER leave_out BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION leave_out();""",
    )
    case.put("k,n\na,1\nb,2\nc,3\n")
    totals = case.load()
    assert (totals.rows_in, totals.rows_out, totals.failed, totals.skipped) == (3, 2, 0, 1)
    assert any("public.t: 1 row was kept out by a trigger of the table" in line for line in case.recorder.lines)
    case.put("k,n\nd,1\ne,2\nf,2\n")
    assert case.load(loadMode="replace").skipped == 2
    assert any("public.t: 2 rows were kept out by a trigger of the table" in line for line in case.recorder.lines)


@pytest.mark.parametrize("mode", ["upsert", "scd2", "cdc_mirror"])
def test_rows_that_a_trigger_keeps_out_of_a_merge_are_counted_apart(case: Case, mode: str) -> None:
    case.table(
        "k text, n integer, valid_from timestamptz, valid_to timestamptz, is_current boolean DEFAULT true",
        """
        CREATE OR REPLACE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
          IF TG_OP = 'DELETE' THEN IF old.k = 'stays' THEN RETURN NULL; END IF; RETURN old; END IF;
          IF new.n = 2 THEN RETURN NULL; END IF;
          IF new.n = 3 THEN RAISE EXCEPTION 'no threes' USING errcode = '23514'; END IF; RETURN new; END $$;
        CREATE TRIGGER leave_out BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION leave_out();
        INSERT INTO t VALUES ('a', 1), ('b', 1), ('c', 1), ('stays', 1), ('goes', 1);"""
        + ("" if mode == "scd2" else "ALTER TABLE t ADD PRIMARY KEY (k);"),
    )
    changed = [("a", 2), ("b", 1), ("b", 5), ("c", 3), ("d", 4), ("e", 2)]
    if mode == "cdc_mirror":
        events = [f"u,{k},{n}" for k, n in changed] + ["d,stays,", "d,goes,", "d,unknown,"]
        case.put("op,k,n\n" + "\n".join(events) + "\n")
        totals = case.load(loadMode=mode, upsertKey=["k"])
        assert case.rows("SELECT k, n FROM t ORDER BY 1") == [("a", 1), ("b", 5), ("c", 1), ("d", 4), ("stays", 1)]
    else:
        case.put("k,n\n" + "".join(f"{k},{n}\n" for k, n in changed))
        totals = case.load(loadMode=mode, upsertKey=["k"])
        assert case.rows("SELECT k, n FROM t WHERE k IN ('b', 'd') AND is_current ORDER BY 1") == [("b", 5), ("d", 4)]
    kept_out = 3 if mode == "cdc_mirror" else 2
    assert totals.failed == 1
    assert totals.rows_in == totals.rows_out + totals.failed + totals.skipped
    assert any(f"public.t: {kept_out} rows were kept out by a trigger" in line for line in case.recorder.lines)
