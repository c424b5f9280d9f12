"""Discovery of connectors over REST."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest

from headrace.api.app import BASE_PATH
from tests.api.conftest import Facade, created, error_of
from tests.network_postgres import NetworkPostgres, network_postgres

__all__ = ["network_postgres"]

pytestmark = pytest.mark.postgres

CONNECTORS = f"{BASE_PATH}/connectors"


@pytest.fixture
def looking(facade: Facade, tmp_path: Path) -> Iterator[Facade]:
    """A facade with a files folder, whose operator allows loopback."""
    services = facade.app.state.services
    changes = {"files_root": tmp_path, "connector_networks": (ip_network("127.0.0.0/8"),)}
    facade.app.state.services = replace(services, settings=services.settings.model_copy(update=changes))
    yield facade
    facade.app.state.services = services


@pytest.fixture
def files(looking: Facade, tmp_path: Path) -> str:
    """The path of a connector of files."""
    (tmp_path / "in" / "2024").mkdir(parents=True)
    (tmp_path / "in" / "orders.csv").write_text("id,amount\n1,2.50\n2,3.75\n")
    (tmp_path / "in" / "2024" / "a.jsonl").write_text('{"at": "2024-01-31"}\n')
    (tmp_path / "in" / "notes.pdf").write_text("x")
    (tmp_path / "in" / "half.csv.part").write_text("x")
    body = {"name": "files", "type": "local_fs", "config": {"basePath": "in"}}
    return f"{CONNECTORS}/{created(looking.editor, CONNECTORS, body)['id']}"


def test_files_and_folders_are_listed_by_page(looking: Facade, files: str) -> None:
    first = looking.editor.get(f"{files}/streams", params={"limit": 2}).json()
    assert [(each["name"], each["kind"], each["format"]) for each in first["data"]] == [
        ("2024/", "folder", None),
        ("notes.pdf", "file", None),
    ]
    pagination = first["pagination"]
    assert (pagination["total"], pagination["hasMore"]) == (3, True)
    rest = looking.editor.get(f"{files}/streams", params={"limit": 2, "cursor": pagination["cursor"]}).json()
    [orders] = rest["data"]
    assert (orders["name"], orders["format"], orders["size"], orders["fields"]) == ("orders.csv", "csv", 24, None)
    assert rest["pagination"]["cursor"] is None
    within = looking.editor.get(f"{files}/streams", params={"filter": "2024/A"}).json()["data"]
    assert [each["settings"] for each in within] == [{"path": "2024/a.jsonl"}]
    assert error_of(looking.editor.get(f"{files}/streams", params={"cursor": "WzFd"}), 400)


def test_one_of_them_has_columns(looking: Facade, files: str) -> None:
    found = looking.editor.get(f"{files}/stream", params={"name": "orders.csv"}).json()
    assert [(each["name"], each["dataType"]) for each in found["fields"]] == [("id", "integer"), ("amount", "double")]
    assert found["rows"] == 2
    folder = looking.editor.get(f"{files}/stream", params={"name": "2024/"}).json()
    assert folder["settings"] == {"path": "2024/", "ordering": "process_all"}
    assert [each["name"] for each in folder["fields"]] == ["at"]


def test_an_unknown_name_is_404_with_the_nearest(looking: Facade, files: str) -> None:
    error = error_of(looking.editor.get(f"{files}/stream", params={"name": "order.csv"}), 404)
    assert error["details"][0]["code"] == "unknown_stream"
    assert "orders.csv" in error["details"][0]["hint"]
    for subprocesses in ("../secret.csv", "/etc/passwd"):
        reported = error_of(looking.editor.get(f"{files}/stream", params={"name": subprocesses}), 422)
        assert reported["details"][0]["code"] == "path_outside_root"


def test_tables_are_found_and_errors_have_no_credential(looking: Facade, network_postgres: NetworkPostgres) -> None:
    body = {"name": "db", "type": "postgresql", "config": network_postgres.config}
    made = created(looking.editor, CONNECTORS, body | {"authConfig": network_postgres.credentials})
    path = f"{CONNECTORS}/{made['id']}"
    [orders] = looking.editor.get(f"{path}/streams", params={"filter": "ORDERS"}).json()["data"]
    assert (orders["name"], orders["kind"], orders["settings"]) == (
        "public.orders",
        "table",
        {"table": "public.orders"},
    )
    found = looking.editor.get(f"{path}/stream", params={"name": "public.orders"}).json()
    assert found["fields"]
    wrong = {"username": "reader", "password": "nobody knows this"}
    looking.editor.put(CONNECTORS, json={"id": made["id"], "authConfig": wrong})
    error = error_of(looking.editor.get(f"{path}/streams"), 422)
    assert error["details"][0]["code"] == "connection_failed"
    assert "nobody knows" not in str(error)


def test_uploads_are_listed_and_seen_by_a_test(looking: Facade) -> None:
    made = created(looking.editor, CONNECTORS, {"name": "sent", "type": "csv_upload"})
    path = f"{CONNECTORS}/{made['id']}"
    assert looking.editor.get(f"{path}/streams").json()["data"] == []
    assert looking.editor.post(f"{path}/files", files={"file": ("a.csv", b"id\n1\n")}).status_code == 201
    assert [each["name"] for each in looking.editor.get(f"{path}/streams").json()["data"]] == ["a.csv"]
    assert looking.editor.post(f"{path}/test").json()["message"].startswith("1 file")


def test_the_servers_own_network_is_not_reached(facade: Facade, network_postgres: NetworkPostgres) -> None:
    body = {"name": "db", "type": "postgresql", "config": network_postgres.config}
    made = created(facade.editor, CONNECTORS, body | {"authConfig": network_postgres.credentials})
    error = error_of(facade.editor.get(f"{CONNECTORS}/{made['id']}/streams"), 422)
    assert "may not reach" in error["message"]
