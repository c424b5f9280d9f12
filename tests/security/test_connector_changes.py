"""Stored credentials stay where they were given for: any change of where, or how, they are sent asks for them again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.api.subprocesses.pool import SubprocessPool
from headrace.connectors.connector import Connection
from headrace.connectors.specs import CONNECTOR_TYPES
from headrace.connectors.specs.base import Config, ConnectorType
from headrace.deployments.cli.documents.yaml_format import write_yaml
from headrace.deployments.errors import HeadraceError
from tests.api.conftest import Facade, created, error_of
from tests.api.connectors.kept import credentials_of
from tests.connectors.complete import COMPLETE
from tests.deployments.cli.conftest import Terminal, headrace  # noqa: F401

PATH = "/api/v1/connectors"
SECRETS = {"username": "u", "password": "correct horse", "token": "t", "saltPeople": "0123456789abcdef"}
HARMLESS = {
    "snowflake": {"warehouse", "schema"},
    "postgresql": {"schema"},
    "bigquery": {"dataset", "location"},
    "databricks": {"catalog", "schema"},
    "github": {"owner"},
}
EXTRAS = {"endpoint": "https://evil.example.org", "proxy": "evil.example.org:3128", "basePath": "/x", "tls": False}


def other(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, int):
        return value + 1
    return f"{value}x" if "://" not in value else value.replace("example.org", "evil.example.org")


def changes() -> list[tuple[str, str, dict[str, Any]]]:
    found: list[tuple[str, str, dict[str, Any]]] = []
    for kind, config in COMPLETE.items():
        if kind == "webhook":  # its secret is sent nowhere
            continue
        for name in CONNECTOR_TYPES[kind].setting_names:
            if name in HARMLESS.get(kind, ()) or name == "apiKey":
                continue
            if name in config:
                found.append((kind, name, config | {name: other(config[name])}))
        for name, value in EXTRAS.items():
            found.append((kind, name, config | {name: value}))
    return found


@pytest.mark.postgres
@pytest.mark.parametrize(("kind", "name", "config"), changes(), ids=lambda each: each if isinstance(each, str) else "")
def test_every_setting_of_every_type_asks_again(
    facade: Facade,
    kind: str,
    name: str,
    config: dict[str, Any],
) -> None:
    body = {"name": "c", "type": kind, "config": COMPLETE[kind], "authConfig": SECRETS}
    made = created(facade.editor, PATH, body)
    before = credentials_of(facade, made["id"])
    error = error_of(facade.editor.put(PATH, json={"id": made["id"], "config": config}), 400)
    (problem,) = error["details"]
    assert (problem["path"], problem["code"], f"config.{name}" in problem["message"]) == (
        "authConfig",
        "missing_field",
        True,
    )
    assert facade.viewer.get(f"{PATH}/{made['id']}").json() == made
    assert credentials_of(facade, made["id"]) == before
    again = facade.editor.put(PATH, json={"id": made["id"], "config": config, "authConfig": SECRETS})
    assert again.status_code == 200, again.text


@pytest.mark.postgres
class TestOneConnector:
    @pytest.fixture
    def connector(self, facade: Facade) -> dict[str, Any]:
        config = {"host": "db.example.org", "port": 5432, "database": "d", "sslmode": "verify-full"}
        return created(
            facade.editor, PATH, {"name": "c", "type": "postgresql", "config": config, "authConfig": SECRETS}
        )

    @pytest.mark.parametrize(
        "change",
        [
            {"sslmode": None},
            {"sslmode": "prefer"},
            {"sslmode": "disable"},
            {"hostaddr": "203.0.113.7"},
            {"service": "evil"},
            {"host": "DB.example.org.evil.org"},
            {"password": "another"},  # taken for a secret, but a part of another login
        ],
    )
    def test_tls_is_not_weakened_and_nothing_slips_in(
        self,
        facade: Facade,
        connector: dict[str, Any],
        change: dict[str, Any],
    ) -> None:
        config = {name: value for name, value in (connector["config"] | change).items() if value is not None}
        error_of(facade.editor.put(PATH, json={"id": connector["id"], "config": config}), 400)
        error_of(facade.editor.put(PATH, json={"id": connector["id"], "connectionConfig": config}), 400)

    def test_the_way_of_signing_in_does_not_change_alone(
        self,
        facade: Facade,
        connector: dict[str, Any],
    ) -> None:
        change = {"id": connector["id"], "authMethod": "basic"}
        (problem,) = error_of(facade.editor.put(PATH, json=change), 400)["details"]
        assert "authMethod" in problem["message"]
        same = {"id": connector["id"], "authMethod": connector["authMethod"]}
        assert facade.editor.put(PATH, json=same).status_code == 200
        answer = facade.editor.put(PATH, json=change | {"authConfig": SECRETS})
        assert answer.json()["authMethod"] == "basic"

    @pytest.mark.parametrize("change", [{}, {"schema": "sales"}])
    def test_what_sends_nothing_elsewhere_is_free(
        self,
        facade: Facade,
        connector: dict[str, Any],
        change: dict[str, Any],
    ) -> None:
        body = {"id": connector["id"], "name": "d", "config": connector["config"] | change}
        assert facade.editor.put(PATH, json=body).status_code == 200
        assert credentials_of(facade, connector["id"]) == SECRETS

    def test_a_default_that_is_written_out_is_no_change(self, facade: Facade) -> None:
        config = {"host": "db.example.org", "port": 5432, "database": "d"}
        body = {"name": "e", "type": "postgresql", "config": config, "authConfig": SECRETS}
        made = created(facade.editor, PATH, body)
        answer = facade.editor.put(PATH, json={"id": made["id"], "config": config | {"sslmode": "prefer"}})
        assert answer.status_code == 200, answer.text

    def test_it_cannot_be_tried_with_another_config(
        self,
        facade: Facade,
        connector: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        seen: list[Connection] = []

        async def run(*given: Any) -> bytes:
            seen.extend(one for one in given if isinstance(one, Connection))
            return b'{"latencyMs": 1, "message": "ok"}'

        monkeypatch.setattr(SubprocessPool, "run", run)  # what the child that tries it would get
        facade.editor.post(f"{PATH}/{connector['id']}/test", json={"config": {"host": "evil.example.org"}})
        assert [each.config["host"] for each in seen] == ["db.example.org"]


@pytest.mark.postgres
def test_a_connection_string_with_the_password_in_it_is_the_same_rule(facade: Facade) -> None:
    secret = "mongodb://u:hunter2@db.example.org/shop"
    made = created(facade.editor, PATH, {"name": "m", "type": "mongodb", "config": {"connectionString": secret}})
    assert credentials_of(facade, made["id"]) == {"connectionString": secret}
    for config in ({"host": "evil.example.org"}, {"connectionString": "mongodb://evil.example.org"}):
        error_of(facade.editor.put(PATH, json={"id": made["id"], "config": config}), 400)
    assert credentials_of(facade, made["id"]) == {"connectionString": secret}
    assert facade.editor.put(PATH, json={"id": made["id"], "config": {}, "name": "n"}).status_code == 200


@pytest.mark.postgres
def test_credentials_in_blocks_are_asked_for_as_others_are(facade: Facade) -> None:
    config = {"host": "db.example.org", "port": 5432, "database": "d"}
    for credentials in ("prefect://secret/db", {"username": "u", "password": "prefect://secret/db"}):
        body = {"name": f"b{len(credentials)}", "type": "postgresql", "config": config, "authConfig": credentials}
        made = created(facade.editor, PATH, body)
        moved = {"id": made["id"], "config": config | {"host": "evil.example.org"}}
        error_of(facade.editor.put(PATH, json=moved), 400)
        assert facade.editor.put(PATH, json=moved | {"authConfig": credentials}).status_code == 200


@pytest.mark.postgres
def test_salts_alone_are_sent_nowhere_and_stay(facade: Facade) -> None:
    salts = {"saltPeople": "0123456789abcdef"}
    made = created(facade.editor, PATH, {"name": "f", "type": "local_fs", "authConfig": salts})
    answer = facade.editor.put(PATH, json={"id": made["id"], "config": {"basePath": "in"}})
    assert answer.status_code == 200, answer.text
    assert credentials_of(facade, made["id"]) == salts


def test_a_setting_that_a_new_type_does_not_declare_harmless_is_none() -> None:
    class Modern(Config):
        relay: str
        retries: int = 3

    known = ConnectorType("modern", "Modern", "web", "", Modern, None)
    before = known.address({"relay": "a"})
    assert before == {"relay": "a", "retries": 3}
    for change in ({"relay": "b"}, {"relay": "a", "retries": 4}, {"relay": "a", "unheardOf": 1}):
        assert known.address(change) != before


@pytest.mark.postgres
def test_apply_sends_credentials_with_a_change_of_address_or_says_that_the_file_lacks_them(
    headrace: Terminal,  # noqa: F811
    facade: Facade,
    tmp_path: Path,
) -> None:
    config = {"host": "db.example.org", "port": 5432, "database": "d"}
    shop: dict[str, Any] = {"kind": "connector", "name": "shop", "type": "postgresql", "config": config}
    given = shop | {"authConfig": {"username": "u", "password": "${SHOP_PASSWORD}"}}
    file = tmp_path / "shop.yaml"
    file.write_text(write_yaml(given))
    headrace("apply", "-f", file, SHOP_PASSWORD="correct horse")
    moved = {"config": config | {"host": "new.example.org"}}
    file.write_text(write_yaml(shop | moved))
    refused = headrace("apply", "-f", file, code=1).exception
    assert isinstance(refused, HeadraceError)
    assert "config.host" in refused.message
    assert "send authConfig again" in refused.message
    [made] = facade.viewer.get(PATH).json()["data"]
    assert made["config"]["host"] == "db.example.org"
    file.write_text(write_yaml(given | moved))
    headrace("apply", "-f", file, SHOP_PASSWORD="correct horse")
    [made] = facade.viewer.get(PATH).json()["data"]
    assert made["config"]["host"] == "new.example.org"
    assert credentials_of(facade, made["id"]) == {"username": "u", "password": "correct horse"}
