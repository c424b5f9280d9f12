"""Connectors that come with Headrace send credentials to their own service only, wherever a variable, a job's results
or a changed setting lead; and what a job gives fills neither memory nor disk."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from headrace.api.app import BASE_PATH
from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.http.shipped.connectors import rest_context
from headrace.connectors.registry import source_for
from headrace.connectors.specs import CONNECTOR_TYPES
from tests.api.conftest import Facade, created, error_of, facade, facade_roles, facade_url, running_facade
from tests.connectors.http.api_server import ApiServer
from tests.connectors.http.opening import context

__all__ = ["facade", "facade_roles", "facade_url", "running_facade"]

CONNECTORS = f"{BASE_PATH}/connectors"
SECRET = "t-very-secret"


@pytest.fixture
def api() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.close()


@pytest.fixture
def other() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.close()


@pytest.mark.parametrize(
    "value", ["evil.example/x", "evil.example#", "me@evil.example", "evil.example:8443", "x?y", "-"]
)
@pytest.mark.parametrize(
    ("name", "variable"), [("shopify", "shop"), ("mailchimp", "dataCenter"), ("segment", "region")]
)
def test_a_variable_leads_to_no_other_host(name: str, variable: str, value: str) -> None:
    record = Connection("conn_1", name, {variable: value}, {"apiKey": SECRET, "token": SECRET})
    made = Context(record, Surroundings(FilesRoot(Path("/nowhere"))), {"endpoint": "x"})
    with pytest.raises(SourceError, match=f"'{variable}' is a part of a host's name"):
        rest_context(name, made)


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("kind", "config", "change"),
    [
        ("shopify", {"shop": "mine"}, {"shop": "yours"}),
        ("stripe", {}, {"url": "https://stripe.example"}),
        ("salesforce", {"instanceUrl": "https://a.example"}, {"instanceUrl": "https://b.example"}),
        ("braze", {"restEndpoint": "https://a.example"}, {"restEndpoint": "https://b.example"}),
    ],
)
def test_stored_credentials_are_not_kept_when_their_destination_changes(
    facade: Facade, kind: str, config: dict[str, Any], change: dict[str, Any]
) -> None:
    body = {"name": kind, "type": kind, "config": config, "authConfig": {"token": SECRET}}
    made = created(facade.editor, CONNECTORS, body)
    assert SECRET not in str(made)
    refused = error_of(facade.editor.put(CONNECTORS, json={"id": made["id"], "config": {**config, **change}}), 400)
    assert [each["path"] for each in refused["details"]] == ["authConfig"]
    kept = facade.editor.put(CONNECTORS, json={"id": made["id"], "config": {**config, "requestsPerSecond": 1}})
    assert kept.status_code == 200


@pytest.mark.parametrize(
    "name", ["braze", "github", "hubspot", "mailchimp", "salesforce", "segment", "shopify", "stripe"]
)
def test_every_credential_is_write_only(name: str) -> None:
    properties = CONNECTOR_TYPES[name].auth_schema["properties"]
    shown = {key for key, each in properties.items() if not each["anyOf"][0].get("writeOnly")}
    assert shown <= {"clientId", "username"}


JOB: dict[str, Any] = {
    "format": "jsonl",
    "archive": "zip",
    "fields": {"id": "bigint"},
    "job": {"create": {"path": "/exports", "body": {}, "values": {"url": "url"}}, "download": "url", "notYet": [404]},
}


def exporting(api: ApiServer, url: str) -> None:
    api.pages["/exports"] = lambda asked: (200, {}, f'{{"url": "{url}"}}'.encode())


def read(made: Context) -> int:
    source = source_for("rest_api", made)
    found = source.discover(max_partitions=1)
    return sum(batch.rows for part in found.partitions for batch in source.read(part, found.schema))


def zipped(text: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../evil.txt", text)
    return packed.getvalue()


def test_the_results_of_a_job_on_another_server_come_without_credentials(api: ApiServer, other: ApiServer) -> None:
    exporting(api, f"{other.url}/x.zip?signature=abc")
    other.pages["/x.zip"] = lambda asked: (200, {}, zipped(b'{"id": 1}\n{"id": 2}\n'))
    assert read(context(api, JOB, credentials={"token": SECRET})) == 2
    assert api.asked[0].headers["Authorization"] == f"Bearer {SECRET}"
    assert SECRET not in str(other.asked)


def test_an_address_inside_is_not_dialled_for_results(api: ApiServer) -> None:
    inside = ApiServer("127.0.0.2")
    try:
        exporting(api, f"{inside.url}/x.zip")
        made = context(api, JOB)
        only = Surroundings(FilesRoot(Path("/nowhere")), (ip_network("127.0.0.1/32"),))
        with pytest.raises(SourceError, match="may not reach"):
            read(Context(made.connection, only, JOB))
        assert inside.asked == []
    finally:
        inside.close()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x.example/y", "//x.example/y", "x.zip"])
def test_other_addresses_of_results_are_refused(api: ApiServer, url: str) -> None:
    exporting(api, url)
    with pytest.raises(SourceError, match="not an https address"):
        read(context(api, JOB))


def test_results_fill_neither_memory_nor_disk(api: ApiServer) -> None:
    exporting(api, f"{api.url}/x.zip")
    api.pages["/x.zip"] = lambda asked: (200, {}, zipped(b'{"id": "' + b"x" * 3_000_000 + b'"}'))
    with pytest.raises(SourceError, match="a line has more than 100,000 bytes"):
        read(context(api, JOB, maxPageBytes=100_000))
    with pytest.raises(SourceError, match="the file has more than 1,024 bytes"):
        read(context(api, JOB, maxFileBytes=1_024))


def test_the_key_that_signs_is_in_no_error(api: ApiServer) -> None:
    auth = {"type": "jwt_bearer", "oauthUrl": f"{api.url}/token", "audience": "a"}
    login = {"clientId": "c", "username": "u", "privateKey": "-----BEGIN PRIVATE KEY-----\nMIIsecret\n-----END"}
    with pytest.raises(SourceError) as refused:
        read(context(api, {"path": "/x"}, credentials=login, auth=auth))
    assert "MIIsecret" not in f"{refused.value.message} {refused.value.hint} {refused.value.__cause__}"
