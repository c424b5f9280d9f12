"""Files are uploaded to a connector of type csv_upload, and pipelines read them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from headrace.flows.tenant_files import files_of
from tests.api.conftest import Facade, created, error_of

pytestmark = pytest.mark.postgres
CONTENT = b"id,amount\n1,10\n2,20\n"


def settle(facade: Facade, **changes: Any) -> None:
    services = facade.app.state.services
    facade.app.state.services = replace(services, settings=services.settings.model_copy(update=changes))


@pytest.fixture
def path(facade: Facade, tmp_path: Path) -> Iterator[str]:
    services = facade.app.state.services
    settle(facade, files_root=tmp_path / "files")
    made = created(facade.editor, "/api/v1/connectors", {"name": "sent", "type": "csv_upload"})
    yield f"/api/v1/connectors/{made['id']}/files"
    facade.app.state.services = services


def send(client: TestClient, path: str, name: str = "orders.csv", content: bytes = CONTENT, query: str = "") -> Any:
    return client.post(path + query, files={"file": (name, content, "text/csv")})


def folder(facade: Facade, path: str) -> Path:
    return Path(files_of(facade.app.state.services.settings, "default")) / "uploads" / path.split("/")[4]


def test_a_file_is_taken_listed_and_deleted(facade: Facade, path: str) -> None:
    made = send(facade.editor, path)
    assert made.status_code == 201, made.text
    file = made.json()
    assert (file["name"], file["size"]) == ("orders.csv", len(CONTENT))
    assert file["checksum"] == hashlib.sha256(CONTENT).hexdigest()
    assert facade.viewer.get(path).json() == {"data": [file]}
    assert (folder(facade, path) / "orders.csv").read_bytes() == CONTENT
    assert facade.editor.delete(f"{path}/orders.csv").status_code == 204
    assert facade.viewer.get(path).json() == {"data": []}
    error_of(facade.editor.delete(f"{path}/orders.csv"), 404)


def test_the_same_again_is_no_change_and_another_is_asked_about(facade: Facade, path: str) -> None:
    first = send(facade.editor, path).json()
    again = send(facade.editor, path)
    assert (again.status_code, again.json()) == (200, first)
    (problem,) = error_of(send(facade.editor, path, content=b"id\n3\n"), 409)["details"]
    assert problem["code"] == "exists"
    assert facade.viewer.get(path).json() == {"data": [first]}
    replaced = send(facade.editor, path, content=b"id\n3\n", query="?replace=true")
    assert (replaced.status_code, replaced.json()["size"]) == (200, 5)


def test_a_file_changed_on_disk_is_hashed_again(facade: Facade, path: str) -> None:
    send(facade.editor, path)
    (folder(facade, path) / "orders.csv").write_bytes(b"id\n9\n")
    (file,) = facade.viewer.get(path).json()["data"]
    assert file["checksum"] == hashlib.sha256(b"id\n9\n").hexdigest()


@pytest.mark.parametrize("name", ["../escape.csv", "a/b.csv", ".hidden", "x.csv.part", "a:b.csv", "n" * 250])
def test_a_name_that_cannot_be_is_refused(facade: Facade, path: str, name: str) -> None:
    (problem,) = error_of(send(facade.editor, path, name), 400)["details"]
    assert problem["code"] == "bad_name"
    assert facade.viewer.get(path).json() == {"data": []}


def test_what_is_no_whole_form_leaves_nothing(facade: Facade, path: str) -> None:
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    begun = b'--b\r\nContent-Disposition: form-data; name="file"; filename="o.csv"\r\n\r\nid\n1\n'
    error_of(facade.editor.post(path, content=begun, headers=kind), 400)
    error_of(facade.editor.post(path, content=b"--x\r\nnonsense", headers=kind), 400)
    error_of(facade.editor.post(path, content=b"--b--\r\n", headers=kind), 400)
    error_of(facade.editor.post(path, files=[("file", ("a.csv", b"1")), ("file", ("b.csv", b"2"))]), 400)
    error_of(facade.editor.post(path, json={}), 415)
    assert facade.viewer.get(path).json() == {"data": []}
    there = folder(facade, path)
    assert not there.exists() or [each for each in there.iterdir() if each.is_file()] == []


def test_a_file_that_is_too_long_is_refused_and_not_kept(facade: Facade, path: str) -> None:
    settle(facade, max_upload_bytes=2048)
    error_of(send(facade.editor, path, content=b"x" * 3000), 413)
    assert send(facade.editor, path, content=b"x" * 2000).status_code == 201
    settle(facade, max_uploads_bytes=3000)
    error_of(send(facade.editor, path, "second.csv", b"x" * 2000), 413)
    assert [file["name"] for file in facade.viewer.get(path).json()["data"]] == ["orders.csv"]


def test_only_its_own_tenant_and_who_may_write_send_files(facade: Facade, path: str) -> None:
    error_of(send(facade.viewer, path), 403)
    error_of(send(facade.foreign, path), 404)
    error_of(send(facade.anonymous, path), 401)
    error_of(facade.foreign.get(path), 404)
    other = created(facade.editor, "/api/v1/connectors", {"name": "folder", "type": "local_fs"})
    error_of(send(facade.editor, f"/api/v1/connectors/{other['id']}/files"), 404)


def test_larger_than_any_other_body(facade: Facade, path: str) -> None:
    content = b"id\n" + b"1\n" * 3_000_000
    made = send(facade.editor, path, content=content)
    assert (made.status_code, made.json()["size"]) == (201, len(content))
