"""Connectors: fields of responses, required settings, secrets that are never returned, refused deletions."""

from __future__ import annotations

import re
from typing import Any

import pytest
from sqlalchemy import text

from headrace.api.app import BASE_PATH
from headrace.catalog.security.credentials import Keyring
from tests.api.conftest import CONNECTOR, Facade, created, error_of
from tests.api.connectors.kept import credentials_of

pytestmark = pytest.mark.postgres

CONNECTORS = f"{BASE_PATH}/connectors"
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
DATABASE = {"host": "db.example.com", "port": 5432, "database": "shop"}
POSTGRESQL = {
    "name": "db",
    "type": "postgresql",
    "config": DATABASE,
    "authConfig": {"username": "u", "password": "hunter2"},
}


class TestCreate:
    def test_it_comes_back_in_the_documented_shape(self, facade: Facade) -> None:
        body = {
            "name": "Production Snowflake",
            "type": "snowflake",
            "description": "Main data warehouse",
            "config": {"account": "xy12345.us-east-1", "warehouse": "COMPUTE_WH"},
            "connectionConfig": {"database": "ANALYTICS", "role": "LOADER"},
        }
        made = created(facade.editor, CONNECTORS, body)
        assert made == facade.viewer.get(f"{CONNECTORS}/{made['id']}").json()
        assert facade.viewer.get(CONNECTORS).json()["data"] == [made]
        assert made["id"].startswith("conn_")
        assert all(TIMESTAMP.fullmatch(made.pop(name)) for name in ("createdAt", "updatedAt"))
        del made["id"]
        assert made == {
            "name": "Production Snowflake",
            "type": "snowflake",
            "description": "Main data warehouse",
            "config": body["config"] | body["connectionConfig"],  # type: ignore[operator]
            "authMethod": "access_key",
            "status": "active",
            "lastTestedAt": None,
            "lastError": None,
            "lastSyncRowCount": None,
            "lastSyncAt": None,
        }

    def test_secrets_are_never_shown_nor_stored_in_the_clear(self, facade: Facade) -> None:
        hidden = {
            "password": "hunter2",
            "url": "https://me:hunter2@example.org/x",
            "headers": {"Authorization": "hunter2"},
        }
        made = created(
            facade.editor, CONNECTORS, POSTGRESQL | {"config": DATABASE | hidden, "authConfig": {"key": "hunter2"}}
        )
        assert made["config"] == DATABASE
        assert "hunter2" not in str(made)
        assert "hunter2" not in facade.admin.get(CONNECTORS).text
        with facade.engine.connect() as connection:
            assert "hunter2" not in str(connection.execute(text("SELECT c::text FROM headrace.connectors c")).scalar())
        assert credentials_of(facade, made["id"]) == hidden | {"key": "hunter2"}

    def test_what_a_type_needs_may_stand_among_the_credentials(self, facade: Facade) -> None:
        created(facade.editor, CONNECTORS, {"name": "a", "type": "hubspot", "authConfig": {"apiKey": "k"}})
        mongodb = {"name": "b", "type": "mongodb", "config": {"connectionString": "mongodb://u:p@db.example.com"}}
        assert created(facade.editor, CONNECTORS, mongodb)["config"] == {}

    @pytest.mark.parametrize(
        ("change", "path", "hint"),
        [
            ({"type": "postgres"}, "type", "did you mean 'postgresql'?"),
            ({"type": "ftp"}, "type", "did you mean 'sftp'?"),
            ({"config": {"host": "h", "port": 5432}}, "config.database", "add 'database'"),
            ({"config": DATABASE | {"port": "many"}}, "config.port", ""),
            ({"type": "local_fs", "config": {"basePaht": "x"}}, "config.basePaht", "did you mean 'basePath'?"),
            ({"authConfig": "hunter2"}, "authConfig", ""),
            ({"authMethod": "iam_role"}, "authMethod", "use one of basic"),
            ({"name": "  "}, "name", ""),
        ],
    )
    def test_what_is_not_valid_is_400_and_says_where(
        self, facade: Facade, change: dict[str, Any], path: str, hint: str
    ) -> None:
        response = facade.editor.post(CONNECTORS, json=POSTGRESQL | change)
        assert [(each["path"], each["hint"]) for each in error_of(response, 400)["details"]] == [(path, hint)]
        assert "hunter2" not in response.text

    def test_a_taken_name_is_409(self, facade: Facade) -> None:
        created(facade.editor, CONNECTORS, CONNECTOR)
        assert error_of(facade.editor.post(CONNECTORS, json=CONNECTOR), 409)["code"] == "conflict"

    def test_without_an_encryption_key_credentials_are_refused(
        self, facade: Facade, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("headrace.api.context.RequestContext.keyring", Keyring([]))
        created(facade.editor, CONNECTORS, CONNECTOR)
        error = error_of(facade.editor.post(CONNECTORS, json=POSTGRESQL), 422)
        assert "HEADRACE_ENCRYPTION_KEYS" in error["details"][0]["hint"]


class TestList:
    def test_pages_are_followed_by_their_cursor(self, facade: Facade) -> None:
        for number in range(5):
            created(facade.editor, CONNECTORS, CONNECTOR | {"name": f"files {number}"})
        names, query = [], "?limit=2"
        while query:
            page = facade.viewer.get(CONNECTORS + query).json()
            names += [connector["name"] for connector in page["data"]]
            pagination = page["pagination"]
            assert (pagination["total"], pagination["limit"]) == (5, 2)
            assert pagination["hasMore"] == (pagination["cursor"] is not None)
            query = f"?limit=2&cursor={pagination['cursor']}" if pagination["hasMore"] else ""
        assert names == [f"files {number}" for number in (4, 3, 2, 1, 0)]

    def test_a_list_says_20_when_nothing_is_asked(self, facade: Facade) -> None:
        expected = {"total": 0, "hasMore": False, "limit": 20, "cursor": None}
        assert facade.viewer.get(CONNECTORS).json()["pagination"] == expected


class TestUpdate:
    def test_what_is_left_out_stays(self, facade: Facade) -> None:
        made = created(facade.editor, CONNECTORS, POSTGRESQL | {"description": "d"})
        response = facade.editor.put(CONNECTORS, json={"id": made["id"], "name": "renamed"})
        assert response.status_code == 200
        changed = response.json()
        assert changed == facade.viewer.get(f"{CONNECTORS}/{made['id']}").json()
        assert changed.pop("updatedAt") > made.pop("updatedAt")
        assert changed == made | {"name": "renamed"}
        assert credentials_of(facade, made["id"]) == POSTGRESQL["authConfig"]

    def test_the_shown_config_sent_back_keeps_the_secrets_that_were_hidden_from_it(self, facade: Facade) -> None:
        made = created(facade.editor, CONNECTORS, POSTGRESQL | {"config": DATABASE | {"apiKey": "k"}})
        body = {"id": made["id"], "type": "postgresql", "config": made["config"] | {"schema": "public"}}
        assert facade.editor.put(CONNECTORS, json=body).json()["config"] == DATABASE | {"schema": "public"}
        assert credentials_of(facade, made["id"]) == {"apiKey": "k", "username": "u", "password": "hunter2"}
        facade.editor.put(CONNECTORS, json={"id": made["id"], "authConfig": {"username": "v"}})
        assert credentials_of(facade, made["id"]) == {"username": "v"}
        facade.editor.put(CONNECTORS, json={"id": made["id"], "authConfig": {}})
        assert credentials_of(facade, made["id"]) == {}

    @pytest.mark.parametrize("moved", [{"host": "evil.example.org"}, {"port": 5433}, {"sslmode": "disable"}])
    def test_credentials_are_not_sent_elsewhere_without_being_given_again(
        self, facade: Facade, moved: dict[str, Any]
    ) -> None:
        made = created(facade.editor, CONNECTORS, POSTGRESQL)
        body = {"id": made["id"], "config": DATABASE | moved}
        assert error_of(facade.editor.put(CONNECTORS, json=body), 400)["details"][0]["path"] == "authConfig"
        assert facade.viewer.get(f"{CONNECTORS}/{made['id']}").json() == made
        given = body | {"authConfig": POSTGRESQL["authConfig"]}
        assert facade.editor.put(CONNECTORS, json=given).json()["config"] == DATABASE | moved

    @pytest.mark.parametrize(
        ("change", "status", "path"),
        [
            ({"type": "mysql"}, 400, "type"),
            ({"config": {"host": "h"}, "authConfig": {}}, 400, "config.port"),
            ({"name": None}, 400, "name"),
            ({"config": None}, 400, "config"),
            ({"colour": "red"}, 400, "colour"),
            ({"authMethod": "psychic", "authConfig": {}}, 400, "authMethod"),
            ({"id": ""}, 400, "id"),
            ({"id": "conn_none"}, 404, None),
            ({"name": "taken"}, 409, None),
        ],
    )
    def test_what_cannot_be_changed_is_refused(
        self, facade: Facade, change: dict[str, Any], status: int, path: str | None
    ) -> None:
        created(facade.editor, CONNECTORS, CONNECTOR | {"name": "taken"})
        made = created(facade.editor, CONNECTORS, POSTGRESQL)
        error = error_of(facade.editor.put(CONNECTORS, json={"id": made["id"]} | change), status)
        assert path is None or path in [each["path"] for each in error["details"]]
        assert facade.viewer.get(f"{CONNECTORS}/{made['id']}").json() == made

    def test_credentials_sealed_with_a_lost_key_can_be_replaced(
        self, facade: Facade, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = created(facade.editor, CONNECTORS, POSTGRESQL)
        monkeypatch.setattr("headrace.api.context.RequestContext.keyring", Keyring([bytes(32)]))
        body = {"id": made["id"], "config": DATABASE}
        error_of(facade.editor.put(CONNECTORS, json=body), 422)
        error_of(facade.editor.post(f"{CONNECTORS}/{made['id']}/test"), 422)
        assert facade.editor.put(CONNECTORS, json=body | {"authConfig": {"username": "v"}}).status_code == 200


class TestDelete:
    def test_it_is_gone(self, facade: Facade) -> None:
        made = created(facade.editor, CONNECTORS, CONNECTOR)
        response = facade.editor.delete(CONNECTORS, params={"id": made["id"]})
        assert (response.status_code, response.content) == (204, b"")
        error_of(facade.viewer.get(f"{CONNECTORS}/{made['id']}"), 404)
        error_of(facade.editor.delete(CONNECTORS, params={"id": made["id"]}), 404)

    def test_one_that_a_pipeline_uses_stays(self, facade: Facade) -> None:
        used = facade.pipeline()["connectorId"]
        error = error_of(facade.editor.delete(CONNECTORS, params={"id": used}), 409)
        assert "'orders'" in error["message"]
        assert facade.viewer.get(f"{CONNECTORS}/{used}").status_code == 200

    def test_another_tenants_is_as_one_that_does_not_exist(self, facade: Facade) -> None:
        made = created(facade.editor, CONNECTORS, POSTGRESQL)
        for foreign in (made["id"], "conn_none"):
            error_of(facade.foreign.delete(CONNECTORS, params={"id": foreign}), 404)
            error_of(facade.foreign.put(CONNECTORS, json={"id": foreign, "name": "mine"}), 404)
            error_of(facade.foreign.post(f"{CONNECTORS}/{foreign}/test"), 404)
        assert facade.viewer.get(f"{CONNECTORS}/{made['id']}").json() == made


def test_a_viewer_changes_and_dials_nothing(facade: Facade) -> None:
    made = created(facade.editor, CONNECTORS, CONNECTOR)
    error_of(facade.viewer.put(CONNECTORS, json={"id": made["id"], "name": "x"}), 403)
    error_of(facade.viewer.delete(CONNECTORS, params={"id": made["id"]}), 403)
    error_of(facade.viewer.post(f"{CONNECTORS}/test", json={"type": "local_fs"}), 403)
    error_of(facade.viewer.post(f"{CONNECTORS}/{made['id']}/test"), 403)
