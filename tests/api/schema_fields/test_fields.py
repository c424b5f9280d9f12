"""The columns of a schema over REST: add, change, drop; losses need confirmation."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.api.app import BASE_PATH
from tests.api.conftest import Facade, created, error_of

pytestmark = pytest.mark.postgres

SCHEMAS = f"{BASE_PATH}/schemas"
FIELDS = [
    {"name": "id", "dataType": "bigint", "isPrimaryKey": True, "isNullable": False},
    {"name": "code", "dataType": "varchar", "length": 10},
    {"name": "amount", "dataType": "integer"},
]


@pytest.fixture
def path(facade: Facade) -> str:
    schema = created(facade.editor, SCHEMAS, {"name": "orders", "displayName": "Orders", "fields": FIELDS})
    rows = [{"id": 1, "code": "abc", "amount": 5}, {"id": 2, "code": "7", "amount": None}]
    created(facade.editor, f"{SCHEMAS}/{schema['id']}/data", {"rows": rows})
    return f"{SCHEMAS}/{schema['id']}"


def listed(facade: Facade, path: str) -> dict[str, dict[str, Any]]:
    return {field["name"]: field for field in facade.viewer.get(f"{path}/fields").json()["data"]}


def rows(facade: Facade, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = facade.viewer.get(f"{path}/data").json()["rows"]
    return found


def test_an_added_field_is_the_last_one_and_a_column(facade: Facade, path: str) -> None:
    added = created(facade.editor, f"{path}/fields", {"name": "paid", "dataType": "boolean", "defaultValue": False})
    assert (added["ordinal"], added["displayName"], added["defaultValue"]) == (4, "paid", "false")
    schema = facade.viewer.get(path).json()
    assert schema["fields"] == list(listed(facade, path).values())
    assert schema["fields"][-1] == added
    assert [row["paid"] for row in rows(facade, path)] == [False, False]


@pytest.mark.parametrize(
    ("body", "status", "where"),
    [
        ({"name": "Amount"}, 409, None),
        ({"name": "must", "isNullable": False}, 409, None),
        ({"name": "a b"}, 400, "name"),
        ({"name": "a", "dataType": "intger"}, 400, "dataType"),
        ({"name": "a", "isPrimaryKey": True}, 400, "isPrimaryKey"),
        ({"name": "a", "dataType": "integer", "defaultValue": "x"}, 400, "defaultValue"),
        ({}, 400, "name"),
    ],
)
def test_what_cannot_be_added_is_refused(
    facade: Facade, path: str, body: dict[str, Any], status: int, where: str | None
) -> None:
    before = facade.viewer.get(path).json()
    error = error_of(facade.editor.post(f"{path}/fields", json=body), status)
    assert [each["path"] for each in error["details"]] == ([where] if where else [])
    assert facade.viewer.get(path).json() == before


def test_a_change_that_keeps_everything_needs_no_confirmation(facade: Facade, path: str) -> None:
    for name, change in (("code", {"length": 20, "displayName": "Code"}), ("amount", {"dataType": "decimal"})):
        field = listed(facade, path)[name]
        response = facade.editor.put(f"{path}/fields", json={"id": field["id"], **change})
        assert (response.status_code, response.json()) == (200, field | change)
        assert listed(facade, path)[name] == field | change


def test_a_change_that_may_lose_something_needs_it(facade: Facade, path: str) -> None:
    fields = listed(facade, path)
    for name, change in (
        ("amount", {"dataType": "smallint"}),
        ("code", {"length": 3}),
        ("code", {"name": "article"}),
    ):
        body = {"id": fields[name]["id"], **change}
        error = error_of(facade.editor.put(f"{path}/fields", json=body), 400)
        assert error["details"][0]["code"] == "confirmation_required"
        assert listed(facade, path)[name] == fields[name] | {}
        done = facade.editor.put(f"{path}/fields?confirm=true", json=body)
        assert done.status_code == 200, done.text
        fields[name] = done.json()
    assert rows(facade, path)[0] == {"id": 1, "article": "abc", "amount": 5}


def test_the_sizes_of_a_type_go_with_it(facade: Facade, path: str) -> None:
    field = listed(facade, path)["code"]
    changed = facade.editor.put(f"{path}/fields", json={"id": field["id"], "dataType": "text"}).json()
    assert changed == field | {"dataType": "text", "length": None}


def test_rows_that_do_not_fit_forbid_it(facade: Facade, path: str) -> None:
    field = listed(facade, path)["code"]
    body = {"id": field["id"], "dataType": "integer", "description": "changed"}
    error = error_of(facade.editor.put(f"{path}/fields?confirm=true", json=body), 409)
    assert '"abc"' in error["message"]
    assert listed(facade, path)["code"] == field


def test_a_dropped_field_is_gone_once_that_is_confirmed(facade: Facade, path: str) -> None:
    fields = listed(facade, path)
    chosen = {"id": fields["amount"]["id"]}
    assert error_of(facade.editor.delete(f"{path}/fields", params=chosen), 400)["details"][0]["path"] == "confirm"
    assert facade.editor.delete(f"{path}/fields", params=chosen | {"confirm": "true"}).status_code == 204
    assert list(rows(facade, path)[0]) == ["id", "code"]
    error_of(facade.editor.delete(f"{path}/fields", params=chosen | {"confirm": "true"}), 404)
    key = {"id": fields["id"]["id"], "confirm": "true"}
    assert "primary key" in error_of(facade.editor.delete(f"{path}/fields", params=key), 409)["message"]
    error_of(facade.editor.put(f"{path}/fields", json={"id": "field_none"}), 404)
