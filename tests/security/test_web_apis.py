"""Neither an API nor its connector's author can reach internal addresses, divert credentials, inject headers or exhaust
memory."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import SourceError
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.http.source import RestSource
from tests.connectors.http.api_server import ApiServer, numbered
from tests.connectors.http.opening import paged, source
from tests.connectors.reading import rows

LOGIN = {"credentials": {"token": "t-very-secret"}}


@pytest.fixture
def api() -> Iterator[ApiServer]:
    server = ApiServer()
    yield server
    server.close()


@pytest.fixture
def other() -> Iterator[ApiServer]:
    """Another server: another port is another origin."""
    server = ApiServer()
    yield server
    server.close()


def refused(found: RestSource) -> SourceError:
    with pytest.raises(SourceError) as error:
        rows(found)
    assert "t-very-secret" not in str(error.value)
    return error.value


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "http://169.254.169.254/latest", "http://[::1]/", "http://10.0.0.1"]
)
def test_an_address_inside_is_not_dialled(url: str) -> None:
    context = Context(Connection("c", "rest_api", {"url": url}), Surroundings(FilesRoot(Path("/nowhere"))))
    assert refused(RestSource(context)).code == "address_refused"


def test_neither_by_a_redirect_nor_as_the_next_page(api: ApiServer) -> None:
    inside = "http://169.254.169.254/latest/meta-data"
    api.pages["/moved"] = lambda asked: (302, {"Location": inside}, b"")
    assert refused(source(api, {"path": "/moved"})).code == "address_refused"
    api.pages["/x"] = lambda asked: (200, {}, f'{{"items": [{{"a": 1}}], "next": "{inside}"}}'.encode())
    settings = {"path": "/x", "records": "items", "pagination": {"type": "next_url", "next": "next"}}
    assert refused(source(api, settings)).code == "foreign_page"
    api.pages["/x"] = lambda asked: (200, {"Link": f'<{inside}>; rel="next"'}, b'[{"a": 1}]')
    assert refused(source(api, {"path": "/x", "pagination": {"type": "link"}})).code == "foreign_page"


def test_the_login_goes_to_the_api_alone(api: ApiServer, other: ApiServer) -> None:
    other.records["orders"] = numbered(1)
    api.pages["/moved"] = lambda asked: (302, {"Location": f"{other.url}/whole/orders"}, b"")
    assert len(rows(source(api, {"path": "/moved"}, **LOGIN))) == 1
    assert api.asked[0].headers["Authorization"] == "Bearer t-very-secret"
    assert not [each for each in other.asked if "Authorization" in each.headers]
    other.asked.clear()
    auth: dict[str, Any] = {"auth": {"type": "api_key", "query": "k"}, "credentials": {"apiKey": "t-very-secret"}}
    rows(source(api, {"path": "/moved"}, **auth))
    assert [each.query for each in other.asked] == [{}] * len(other.asked)
    api.pages["/x"] = lambda asked: (200, {}, f'{{"items": [{{"a": 1}}], "next": "{other.url}/x"}}'.encode())
    other.asked.clear()
    settings = {"path": "/x", "records": "items", "pagination": {"type": "next_url", "next": "next"}}
    assert refused(source(api, settings, **LOGIN)).code == "foreign_page"
    assert other.asked == []


@pytest.mark.parametrize("name", ["Host", "hOST", "X\r\nY", "Content-Length", "a b", ""])
def test_no_credential_becomes_another_header(api: ApiServer, name: str) -> None:
    with pytest.raises(SourceError) as error:
        source(api, paged("token"), credentials={"headers": {name: "t-very-secret"}})
    assert error.value.code == "bad_credentials"
    assert "t-very-secret" not in str(error.value)


@pytest.mark.parametrize("link", ["http://[", "http://user:pw@127.0.0.1/", "file:///etc/passwd", "http://a b/"])
def test_a_link_that_is_none_is_reported(api: ApiServer, link: str) -> None:
    api.pages["/moved"] = lambda asked: (302, {"Location": link}, b"")
    assert refused(source(api, {"path": "/moved"})).code in ("bad_url", "bad_host", "unknown_host")
    api.pages["/x"] = lambda asked: (200, {"X-Next": link}, b'[{"a": 1}]')
    settings = {"path": "/x", "pagination": {"type": "next_url", "nextHeader": "X-Next"}}
    assert refused(source(api, settings)).code in ("bad_url", "foreign_page")


def test_a_post_is_not_sent_on_to_another_server(api: ApiServer, other: ApiServer) -> None:
    api.pages["/moved"] = lambda asked: (307, {"Location": f"{other.url}/x"}, b"")
    settings = {"path": "/moved", "method": "POST", "body": {"filter": "private"}}
    assert refused(source(api, settings, **LOGIN)).code == "redirected"
    assert other.asked == []


def test_redirects_end(api: ApiServer) -> None:
    api.pages["/moved"] = lambda asked: (302, {"Location": "/moved"}, b"")
    assert refused(source(api, {"path": "/moved"})).code == "too_many_redirects"


@pytest.mark.parametrize("sign", ["\r\nX-Evil: 1", "\n", "\x00", "é"])
def test_no_value_becomes_another_header_or_line(api: ApiServer, sign: str) -> None:
    api.records["orders"] = numbered(1)
    parent = {"values": [f"a{sign}b"]}
    settings = paged("token", "orders", parent=parent, headers={"X-Of": "{parent.value}"})
    assert refused(source(api, settings)).code == "bad_value"
    assert api.asked == []
    with pytest.raises(SourceError):
        source(api, paged("token", headers={"X-Of": f"a{sign}b"}))
    with pytest.raises(SourceError):
        source(api, paged("token"), credentials={"token": f"t{sign}"})
    settings = {"path": "/token/{parent.value}", "records": "items", "parent": parent}
    api.records[f"a{sign}b"] = []
    assert refused(source(api, settings)).code == "not_found"
    assert "X-Evil" not in api.asked[-1].headers
    assert "\r" not in api.asked[-1].path


def test_a_parents_value_is_no_template_and_no_other_parameter(api: ApiServer) -> None:
    api.records["orders"] = numbered(1)
    values = ["{cursor}", "a&admin=1", "{parent.value}"]
    rows(source(api, paged("token", parent={"values": values}, params={"of": "{parent.value}"})))
    assert {each.query["of"] for each in api.asked} == set(values)
    assert all("admin" not in each.query for each in api.asked)


def test_an_answer_does_not_fill_the_memory(api: ApiServer) -> None:
    bomb = gzip.compress(b"[" + b" " * (50 << 20) + b"]")
    for headers in ({}, {"Content-Encoding": "gzip"}):
        api.pages["/x"] = lambda asked, headers=headers: (200, headers, bomb)  # type: ignore[misc]
        assert refused(source(api, {"path": "/x"}, maxPageBytes=1 << 20)).code == "too_large"
    api.pages["/x"] = lambda asked: (200, {}, b"[" * 200_000)
    assert refused(source(api, {"path": "/x"})).code == "bad_page"
    api.pages["/x"] = lambda asked: (200, {}, b'{"a": ' * 200_000)
    assert refused(source(api, {"path": "/x", "records": "a.a.a"})).code in ("bad_page", "drift")


def test_an_error_of_the_api_is_reported_without_the_login(api: ApiServer) -> None:
    api.pages["/x"] = lambda asked: (400, {}, b'{"message": "bad token t-very-secret"}')
    assert "bad token ***" in str(refused(source(api, {"path": "/x"}, **LOGIN)))


def test_no_proxy_of_the_surroundings_is_used(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    api.records["orders"] = numbered(1)
    assert len(rows(source(api, paged("token")))) == 1
