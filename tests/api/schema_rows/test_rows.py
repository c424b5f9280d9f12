"""Rows of a schema's table over REST: reading with all digits, atomic inserts, statistics."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import text

from headrace.api.app import BASE_PATH
from tests.api.conftest import Facade, created, error_of

pytestmark = pytest.mark.postgres

SCHEMAS = f"{BASE_PATH}/schemas"
EVERY_TYPE: dict[str, Any] = {
    "text": 'it\'s 100% "fine" 日本',
    "varchar": "x",
    "smallint": -1,
    "integer": 2,
    "bigint": 9_223_372_036_854_775_807,
    "decimal": "12345678901234567890.123456789",
    "double": 0.1,
    "boolean": True,
    "date": "2026-01-31",
    "time": "12:34:56",
    "timestamp": "2026-01-31T12:34:56.789",
    "timestamptz": "2026-01-31T12:34:56+00:00",
    "json": {"a": [1, None, {"b": "c"}]},
    "uuid": "00000000-0000-0000-0000-000000000001",
}


def make(facade: Facade, *fields: dict[str, Any], name: str = "things") -> str:
    schema = created(facade.editor, SCHEMAS, {"name": name, "displayName": name, "fields": fields})
    return f"{SCHEMAS}/{schema['id']}"


def test_rows_of_every_type_come_back_as_they_went_in(facade: Facade) -> None:
    path = make(facade, *({"name": f"a_{kind}", "dataType": kind} for kind in EVERY_TYPE))
    row = {f"a_{kind}": value for kind, value in EVERY_TYPE.items()}
    response = facade.editor.post(f"{path}/data", json={"rows": [row, dict.fromkeys(row)]})
    assert (response.status_code, response.json()) == (201, {"inserted": 2, "tableName": "ds_things"})
    answer = facade.viewer.get(f"{path}/data")
    assert answer.headers["content-type"] == "application/json"
    page = json.loads(answer.content, parse_float=str)
    assert (page["total"], page["limit"], page["offset"]) == (2, 50, 0)
    assert page["rows"] == [{"id": 1, **row, "a_double": "0.1"}, {"id": 2, **dict.fromkeys(row)}]


def test_what_is_no_number_in_json_is_text(facade: Facade) -> None:
    path = make(facade, {"name": "x", "dataType": "double"}, {"name": "y", "dataType": "timestamp"})
    rows = [{"x": "NaN", "y": "infinity"}, {"x": "-Infinity", "y": "0044-03-15 BC"}]
    created(facade.editor, f"{path}/data", {"rows": rows})
    found = facade.viewer.get(f"{path}/data").json()["rows"]
    assert [row["x"] for row in found] == ["NaN", "-Infinity"]
    stats = facade.viewer.get(f"{path}/stats").json()["fields"]
    assert stats[0] == {"name": "x", "type": "numeric", "min": None, "max": None, "avg": None, "distinctCount": 2}
    assert stats[1]["max"] == "infinity"


def test_pages_are_in_the_order_of_the_key(facade: Facade) -> None:
    path = make(facade, {"name": "k", "dataType": "integer", "isPrimaryKey": True})
    created(facade.editor, f"{path}/data", {"rows": [{"k": k} for k in (5, 3, 1, 4, 2)]})
    assert [facade.viewer.get(f"{path}/data?limit=2&offset={at}").json()["rows"] for at in (0, 2, 4, 6)] == [
        [{"k": 1}, {"k": 2}],
        [{"k": 3}, {"k": 4}],
        [{"k": 5}],
        [],
    ]
    for wrong in ("limit=0", "limit=501", "offset=-1", "limit=x"):
        error_of(facade.viewer.get(f"{path}/data?{wrong}"), 400)


def test_a_key_that_is_there_already_is_left_out_and_a_missing_column_gets_its_default(facade: Facade) -> None:
    key = {"name": "k", "dataType": "integer", "isPrimaryKey": True}
    path = make(facade, key, {"name": "n", "dataType": "integer", "defaultValue": 7})
    rows = [{"k": 1}, {"k": 2, "n": 5}, {"k": 3, "n": None}, {"k": 1, "n": 9}]
    assert created(facade.editor, f"{path}/data", {"rows": rows})["inserted"] == 3
    assert created(facade.editor, f"{path}/data", {"rows": rows})["inserted"] == 0
    assert [row["n"] for row in facade.viewer.get(f"{path}/data").json()["rows"]] == [7, 5, None]


@pytest.mark.parametrize(
    ("rows", "where", "reported"),
    [
        ([], "rows", "at least 1"),
        ([{"n": 1}, {"m": 1}], "rows[1].m", "no column 'm'"),
        ([{"id": 5, "n": 1}], "rows[0].id", "no column 'id'"),
        ([{"_headrace_load_id": 5}], "rows[0]._headrace_load_id", "no column"),
        ([{"n": 1}, {}], "rows[1]", "names no column"),
        ([{"n": 1}, 5], "rows[1]", "dictionary"),
        ([{"n": n if n != 37 else "many"} for n in range(60)], "rows[37]", "invalid input syntax"),
        ([{"n": 1}, {"n": 2**40}], "rows[1]", "out of range"),
        ([{"n": 1}, {"n": 1, "code": "abcd"}], "rows[1]", "too long"),
        ([{"n": 2}, {"code": "abc"}], "rows[1].n", "null value"),
        ([{"n": 2}, {"n": None}], "rows[1].n", "null value"),
        ([{"n": 1, "code": "a\u0000"}], "rows[0].code", "NUL"),
        ([{"n": 1}, {"n\u0000": 1}], "rows[1]", "A name with NUL"),
    ],
)
def test_rows_that_do_not_fit_are_400_with_their_place_and_none_is_stored(
    facade: Facade, rows: list[Any], where: str, reported: str
) -> None:
    number = {"name": "n", "dataType": "integer", "isNullable": False}
    path = make(facade, number, {"name": "code", "dataType": "varchar", "length": 3})
    error = error_of(facade.editor.post(f"{path}/data", json={"rows": rows}), 400)
    assert error["details"][0]["path"] == where
    assert reported in error["details"][0]["message"]
    assert facade.viewer.get(f"{path}/data").json()["total"] == 0


def test_hostile_names_stay_names(facade: Facade) -> None:
    path = make(facade, {"name": "Order"}, {"name": "größe"}, {"name": "select"})
    with facade.engine.begin() as connection:
        connection.exec_driver_sql('ALTER TABLE ds_things ADD COLUMN "100%%(x)s :y"" --" text')
    name = '100%(x)s :y" --'
    row = {"Order": "1", "größe": "2", "select": "3", name: "4"}
    created(facade.editor, f"{path}/data", {"rows": [row]})
    assert facade.viewer.get(f"{path}/data").json()["rows"] == [{"id": 1, **row}]
    error_of(facade.editor.post(f"{path}/data", json={"rows": [{'"; DROP TABLE ds_things; --': 1}]}), 400)
    assert len(facade.viewer.get(f"{path}/stats").json()["fields"]) == 3


def test_statistics_are_as_documented_and_kept(facade: Facade) -> None:
    path = make(
        facade,
        {"name": "age", "dataType": "integer"},
        {"name": "segment"},
        {"name": "born", "dataType": "date"},
        {"name": "active", "dataType": "boolean"},
        {"name": "extra", "dataType": "json"},
    )
    people = [(18, "high_value"), (85, "high_value"), (40, "low_value"), (None, "new")]
    rows = [{"age": age, "segment": segment, "active": True, "extra": {"a": 1}} for age, segment in people]
    created(facade.editor, f"{path}/data", {"rows": [*rows, {"born": "2000-02-29"}]})
    stats = facade.viewer.get(f"{path}/stats").json()
    assert stats["fields"] == [
        {"name": "age", "type": "numeric", "min": 18, "max": 85, "avg": 47.666667, "distinctCount": 3},
        {"name": "segment", "type": "text", "distinctCount": 3, "topValues": ["high_value", "low_value", "new"]},
        {"name": "born", "type": "date", "min": "2000-02-29", "max": "2000-02-29", "distinctCount": 1},
        {"name": "active", "type": "boolean", "distinctCount": 1, "topValues": ["true"]},
        {"name": "extra", "type": "json", "distinctCount": 1},
    ]
    assert (stats["rowCount"], stats["sampled"]) == (5, False)
    created(facade.editor, f"{path}/data", {"rows": rows})
    assert facade.viewer.get(f"{path}/stats").json() == stats
    with facade.engine.begin() as connection:
        connection.execute(text("UPDATE headrace.schema_statistics SET computed_at = now() - interval '5 minutes'"))
    assert facade.viewer.get(f"{path}/stats").json()["rowCount"] == 9


def test_a_new_field_shows_in_the_statistics_at_once(facade: Facade) -> None:
    path = make(facade, {"name": "a"})
    assert [each["name"] for each in facade.viewer.get(f"{path}/stats").json()["fields"]] == ["a"]
    created(facade.editor, f"{path}/fields", {"name": "b"})
    assert [each["name"] for each in facade.viewer.get(f"{path}/stats").json()["fields"]] == ["a", "b"]


def test_a_large_table_is_sampled_and_its_rows_estimated(facade: Facade, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.catalog.schemas.statistics.LOOKED_AT", 1000)
    monkeypatch.setattr("headrace.catalog.schemas.rows.COUNTED_EXACTLY", 10_000)
    path = make(facade, {"name": "n", "dataType": "integer"})
    with facade.engine.begin() as connection:
        connection.execute(text("INSERT INTO ds_things (n) SELECT i FROM generate_series(1, 100000) i"))
        connection.execute(text("ANALYZE ds_things"))
    stats = facade.viewer.get(f"{path}/stats").json()
    assert stats["sampled"] is True
    assert stats["rowCount"] == facade.viewer.get(f"{path}/data?limit=1").json()["total"] == 100_000
    assert 0 < stats["fields"][0]["distinctCount"] < 20_000
