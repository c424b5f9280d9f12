"""Files from web servers with all their habits: one version each, whole, by the end of their address."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.registry import config_problems, of_type, source_for
from headrace.connectors.stores.http.connector import http_files
from headrace.connectors.stores.http.files import HttpFiles
from tests.connectors.stores.places import LOOPBACK
from tests.connectors.stores.web_server import WebServer
from tests.flows.runtime.runs import Runner


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.close()


def context(config: dict[str, Any], settings: dict[str, Any] | None = None, **credentials: Any) -> Context:
    surroundings = Surroundings(FilesRoot(Path("/nowhere")), LOOPBACK)
    return Context(Connection("conn_1", "http_pull", config, credentials), surroundings, settings or {})


def store(**config: Any) -> HttpFiles:
    return http_files(context(config))


def content(files: HttpFiles, name: str) -> bytes:
    with files.opened(name) as opened:
        assert opened.now() == opened.file
        return opened.path.read_bytes()


@pytest.mark.parametrize(
    "habit",
    [{}, {"tags": False}, {"tags": False, "times": False}, {"heads": False}, {"ranges": False}, {"gzips": True}],
    ids=str,
)
@pytest.mark.first_variant
def test_a_file_is_read_whole_though_connections_are_cut(web: WebServer, habit: dict[str, bool]) -> None:
    vars(web).update(habit)
    web.files["/a.bin"] = body = os.urandom(5 << 20)
    files = store(url=f"{web.url}/a.bin")
    [listed] = files.listing("")
    assert (listed.name, listed.size) == ("a.bin", len(body))
    web.cuts = 2
    assert content(files, "a.bin") == body
    if not habit:
        assert web.parts() == [f"bytes={len(body) // 2}-", f"bytes={len(body) * 3 // 4}-"]


@pytest.mark.parametrize("habit", [{}, {"tags": False}, {"tags": False, "times": False}], ids=str)
def test_a_changed_version_is_noticed(web: WebServer, habit: dict[str, bool]) -> None:
    vars(web).update(habit)
    web.files["/a.csv"] = b"id\n1\n2\n"
    source = source_for("http_pull", context({"url": f"{web.url}/a.csv"}))
    found = source.discover(max_partitions=1)
    web.files["/a.csv"] = b"id\n1\n2\n3\n" if habit.get("tags") is False and web.times else b"id\n3\n4\n"
    with pytest.raises(SourceError) as refused:
        list(source.read(found.partitions[0], found.schema))
    assert refused.value.code == "source_changed"


def test_a_version_that_changes_on_the_way_is_not_glued_together(web: WebServer) -> None:
    web.files["/a.bin"] = b"a" * 1000
    files = store(url=f"{web.url}/a.bin")
    real = web._say

    def cut_and_changed(request: Any, status: int, body: bytes, headers: Any = None) -> None:
        real(request, status, body, headers)
        if request.command == "GET":
            web.files["/a.bin"] = b"b" * 1000

    web._say = cut_and_changed  # type: ignore[method-assign]
    web.cuts = 1
    with pytest.raises(SourceError) as refused:
        content(files, "a.bin")
    assert refused.value.code == "source_changed"


@pytest.mark.parametrize("form", ["array", "object", "lines"])
def test_a_manifest_lists_files(web: WebServer, form: str) -> None:
    web.files |= {"/x/a.csv": b"1", "/x/b%20c.csv": b"22"}
    urls = ["a.csv", f"{web.url}/x/b%20c.csv?sig=1"]
    bodies = {"array": json.dumps(urls), "object": json.dumps({"files": [{"url": url} for url in urls]})}
    web.files["/x/manifest"] = bodies.get(form, "# ours\n" + "\r\n".join(urls)).encode()
    files = store(manifest=f"{web.url}/x/manifest")
    assert [(file.name, file.size) for file in files.listing("")] == [("a.csv", 1), ("b c.csv", 2)]
    assert content(files, "b c.csv") == b"22"


@pytest.mark.parametrize("body", ["{", '{"files": 1}', "[{}]", "[1]"])
def test_what_is_no_manifest_is_reported(web: WebServer, body: str) -> None:
    web.files["/m"] = body.encode()
    with pytest.raises(SourceError) as refused:
        store(manifest=f"{web.url}/m").listing("")
    assert refused.value.code == "bad_manifest"


def test_what_is_not_there_is_reported(web: WebServer) -> None:
    with pytest.raises(SourceError, match=r"/a.csv does not exist"):
        store(url=f"{web.url}/a.csv?sig=secret").listing("")
    web.files["/a.csv"] = b""
    with pytest.raises(SourceError, match=r"'b.csv' does not exist. The connector holds: a.csv"):
        content(store(url=f"{web.url}/a.csv"), "b.csv")
    with pytest.raises(SourceError, match="does not end in the name of a file"):
        store(url=f"{web.url}/").listing("")
    with pytest.raises(SourceError, match=r"Two addresses end in 'a.csv'"):
        store(urls=[f"{web.url}/a.csv", f"{web.url}/x/a.csv"]).listing("")


def test_nothing_is_moved_there() -> None:
    assert [each.path for each in config_problems("http_pull", {"atomicity": {}})] == ["config.atomicity"]
    with pytest.raises(SourceError, match="nothing can be moved"):
        source_for("http_pull", context({"url": "http://127.0.0.1/a.csv"}, {"atomicity": {}}))


@pytest.mark.postgres
def test_a_run_loads_what_the_addresses_give(web: WebServer, database_url: str) -> None:
    web.files |= {"/a.csv": b"id\n1\n2\n", "/b.csv": b"id\n3\n", "/c.txt": b"?"}
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE public.ds_rows (id bigint)")
    config = {"urls": [f"{web.url}/{name}" for name in ("a.csv", "b.csv", "c.txt")]}
    runs = Runner(Path("/nowhere"), database_url, type="http_pull", config=config)
    reads = {"pattern": "*.csv", "ordering": "process_all"}
    runs.run(
        [
            {"id": "src", "kind": "source", "connector": "http_pull", "config": reads},
            {"id": "out", "kind": "target", "input": "src", "schema": "public.ds_rows"},
        ]
    )
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT id FROM public.ds_rows ORDER BY id").fetchall() == [(1,), (2,), (3,)]


def test_a_connection_test_lists_what_it_sees(web: WebServer) -> None:
    web.files["/a.csv"] = b"12345"
    connector = of_type("http_pull")
    assert connector is not None
    found = connector.tried(context({"url": f"{web.url}/a.csv"}))
    assert found.message == "1 file in the addresses of the connector"
    assert [(each["name"], each["size"]) for each in found.sample["files"]] == [("a.csv", 5)]
