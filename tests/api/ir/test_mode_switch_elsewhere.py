"""Changes of load mode on a table in the database of a connector: asked there before the version goes live."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import psycopg
import pytest

from headrace.api.app import BASE_PATH
from tests.api.conftest import IR, Facade, created, error_of
from tests.second_database import LOGIN, SecondDatabase, network_postgres, second

__all__ = ["network_postgres", "second"]

pytestmark = pytest.mark.postgres

SOURCE = {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": "orders.csv"}}


def loading(mode: str, connection: str = "shop", **options: Any) -> dict[str, Any]:
    node = {"id": "tgt", "kind": "target", "input": "src", "schema": "sales.orders", "connection": connection}
    return IR | {"nodes": [SOURCE, node | {"loadMode": mode, **options}]}


@pytest.fixture
def dialling(facade: Facade) -> Iterator[Facade]:
    """A facade whose operator allows loopback."""
    services = facade.app.state.services
    changes = {"connector_networks": (ip_network("127.0.0.0/8"),)}
    facade.app.state.services = replace(services, settings=services.settings.model_copy(update=changes))
    yield facade
    facade.app.state.services = services


@pytest.fixture
def shop(dialling: Facade, second: SecondDatabase) -> str:
    """The id of the connector of a database whose table has a row."""
    second.alter("CREATE SCHEMA sales")
    second.alter("CREATE TABLE sales.orders (id integer, amount integer)")
    second.alter("INSERT INTO sales.orders VALUES (1, 2)")
    body = {"name": "shop", "type": "postgresql", "config": second.config, "authConfig": LOGIN}
    return str(created(dialling.editor, f"{BASE_PATH}/connectors", body)["id"])


@pytest.fixture
def path(dialling: Facade, shop: str) -> str:
    return f"{BASE_PATH}/pipelines/{dialling.pipeline(ir=loading('append'))['id']}/ir"


def refused(facade: Facade, path: str, ir: dict[str, Any], query: str = "") -> dict[str, str]:
    (detail,) = error_of(facade.editor.post(f"{path}{query}", json=ir), 400)["details"]
    assert detail["path"] == "nodes[1].loadMode"
    return dict(detail)


def test_a_mode_that_replaces_the_rows_there_wants_to_be_confirmed(dialling: Facade, path: str, shop: str) -> None:
    detail = refused(dialling, path, loading("replace"))
    assert detail["code"] == "confirmation_required"
    assert "From append to replace".lower() in detail["message"].lower()
    assert "the next run replaces all rows that are in sales.orders" in detail["message"]
    checked = dialling.editor.post(f"{path}/check", json=loading("replace")).json()
    assert [each["message"] for each in checked["losses"]] == [detail["message"]]
    assert dialling.editor.post(f"{path}?confirm=true", json=loading("replace")).status_code == 201
    assert dialling.editor.post(path, json=loading("truncate", connection=shop)).status_code == 201


def test_it_is_asked_when_a_saved_version_goes_live(dialling: Facade, path: str) -> None:
    assert dialling.editor.post(f"{path}?publish=false", json=loading("replace")).status_code == 201
    error = error_of(dialling.editor.post(f"{path}/publish", json={"version": 2}), 400)
    assert error["details"][0]["code"] == "confirmation_required"
    assert dialling.editor.post(f"{path}/publish?confirm=true", json={"version": 2}).is_success


def test_whose_rows_would_be_replaced_is_said(dialling: Facade, path: str, second: SecondDatabase, shop: str) -> None:
    ir = loading("append", connection=shop)
    dialling.editor.post(f"{BASE_PATH}/pipelines", json=dialling.references(path.split("/")[-2], ir)).raise_for_status()
    assert "those that 'another' loaded too" in refused(dialling, path, loading("replace"))["message"]
    second.alter("CREATE TABLE public.orders (id integer)")
    second.alter("INSERT INTO public.orders VALUES (1)")
    other = loading("replace")
    other["nodes"][1] |= {"schema": "public.orders"}
    assert "the next run replaces all rows" in refused(dialling, path, other)["message"]


def test_what_the_table_there_does_not_allow_is_refused_whatever_is_confirmed(dialling: Facade, path: str) -> None:
    detail = refused(dialling, path, loading("upsert", upsertKey="id"), "?confirm=true")
    assert detail["code"] == "upsert_key_not_unique"


def test_an_empty_table_has_nothing_to_lose(dialling: Facade, path: str, second: SecondDatabase) -> None:
    second.alter("TRUNCATE sales.orders")
    assert dialling.editor.post(path, json=loading("replace")).status_code == 201


def test_a_database_that_cannot_be_asked_is_no_consent(dialling: Facade, path: str, second: SecondDatabase) -> None:
    second.alter("ALTER ROLE loader PASSWORD 'another'")
    try:
        detail = refused(dialling, path, loading("replace"))
        assert "the database could not be asked" in detail["message"]
        assert LOGIN["password"] not in str(detail)
        assert dialling.editor.post(f"{path}?confirm=true", json=loading("replace")).status_code == 201
    finally:
        with psycopg.connect(second.superuser, autocommit=True) as connection:
            connection.execute("ALTER ROLE loader PASSWORD 's3same'")
