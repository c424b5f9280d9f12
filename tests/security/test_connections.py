"""Clients that send or read nothing, too slowly, or invalid HTTP do not affect other clients."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy import text

from headrace.api.app import BASE_PATH
from headrace.api.server.run import RESERVED_FILES, connection_limits
from tests.api.conftest import Facade, settings_for
from tests.security.served import Served, answer_of, closed, eventually, read_all, request, served

pytestmark = pytest.mark.postgres

PIPELINES = f"{BASE_PATH}/pipelines"
OPENAPI = "/openapi.json"


@contextmanager
def many(api: Served, count: int, send: bytes) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = stack.enter_context(api.connect())
            client.sendall(send)
            clients.append(client)
        yield clients


def drip(client: socket.socket) -> None:
    """A byte now and then, until the other side has had enough."""
    for _ in range(600):
        client.sendall(b"a")
        time.sleep(0.05)


class TestHeads:
    def test_more_slow_heads_than_there_may_be_connections_keep_nobody_out(self, facade: Facade) -> None:
        with served(facade, max_connections=100, head_timeout_s=60) as api:
            with many(api, 400, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ") as clients:
                for _ in range(20):
                    assert api.ask("/healthz").status == 200
                    assert api.ask(PIPELINES).status == 200
                assert len(api.connections) <= 100
                assert closed(clients[0])
            assert api.refusals["made_room"] >= 300

    def test_a_head_that_is_sent_byte_by_byte_is_ended(self, facade: Facade) -> None:
        with served(facade, head_timeout_s=0.5) as api, api.connect() as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            with pytest.raises(ConnectionError):
                drip(client)
            assert api.refusals["slow_head"] == 1

    def test_a_head_that_does_not_end_is_reported_why(self, facade: Facade) -> None:
        with served(facade, head_timeout_s=0.3) as api, api.connect() as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\n")
            answer = answer_of(client)
            assert (answer.status, answer.error["code"]) == (408, "request_timeout")

    def test_a_connection_on_which_nothing_comes_is_closed(self, facade: Facade) -> None:
        with served(facade, head_timeout_s=0.3) as api, api.connect() as client:
            assert read_all(client) == b""

    def test_the_second_head_of_a_connection_has_a_time_too(self, facade: Facade) -> None:
        with served(facade, head_timeout_s=0.5, idle_timeout_s=60) as api, api.connect() as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
            client.sendall(b"G")
            assert b"408" in read_all(client)

    def test_a_connection_between_two_requests_is_closed_after_a_while(self, facade: Facade) -> None:
        with served(facade, idle_timeout_s=0.3, head_timeout_s=60) as api, api.connect() as client:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
            assert closed(client)

    def test_a_body_that_goes_on_after_the_answer_is_not_read_for_ever(self, facade: Facade) -> None:
        head = f"POST {PIPELINES} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n".encode()
        with served(facade, head_timeout_s=0.5, idle_timeout_s=0.5) as api, api.connect() as client:
            client.sendall(head)
            assert client.recv(65536).startswith(b"HTTP/1.1 401")
            with pytest.raises(ConnectionError):
                drip(client)

    def test_one_address_takes_its_share_and_no_more(self, facade: Facade) -> None:
        limits = {"max_connections": 100, "max_connections_per_address": 10, "head_timeout_s": 60}
        with served(facade, **limits) as api, many(api, 40, b"GET"):
            assert api.ask("/healthz").status == 200
            assert len(api.connections) <= 10


class TestReaders:
    def test_who_does_not_read_the_answer_is_gone_after_a_while(self, facade: Facade) -> None:
        ask = f"GET {OPENAPI} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        with served(facade, write_timeout_s=1, idle_timeout_s=60) as api, many(api, 5, ask * 200) as clients:
            eventually(lambda: api.refusals.get("slow_reader", 0) == 5)
            eventually(lambda: len(api.connections) == 0)
            assert all(closed(client) for client in clients)

    def test_what_is_not_read_stays_small_however_much_is_asked_for(self, facade: Facade) -> None:
        """No second answer is begun before the client has read the first."""
        ask = f"GET {OPENAPI} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        with served(facade, write_timeout_s=60) as api, many(api, 1, ask * 500):
            size = len(api.ask(OPENAPI).body)
            eventually(lambda: any(each.unsent for each in api.connections))
            time.sleep(0.5)
            assert max(each.unsent for each in api.connections) < 2 * size

    @pytest.mark.slow
    def test_who_reads_slowly_gets_all_of_it(self, facade: Facade) -> None:
        with served(facade, write_timeout_s=2) as api, api.connect() as client:
            whole = api.ask(OPENAPI).body
            client.sendall(request(OPENAPI, api.key))
            received = b""
            while piece := client.recv(16 * 1024):
                received += piece
                time.sleep(0.05)
            assert received.endswith(whole)


NOT_HTTP = {
    "both lengths": b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "a length with a sign": b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
    "an encoding twice": b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "an unknown encoding": b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks in 1.0": b"POST /x HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a blank before the colon": b"GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a bare CR": b"GET /healthz HTTP/1.1\r\nHost: a\rX-Tenant-Id: b\r\n\r\n",
    "a NUL": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-A: b\x00c\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "a whole URL": b"GET http://evil.example/healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    "a tunnel": b"CONNECT 127.0.0.1:5432 HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.fixture(scope="module")
def api(running_facade: Facade) -> Iterator[Served]:
    with served(running_facade) as api:
        yield api


class TestRequests:
    @pytest.mark.parametrize("sent", NOT_HTTP.values(), ids=NOT_HTTP.keys())
    def test_what_two_servers_could_read_differently_is_refused(self, api: Served, sent: bytes) -> None:
        follow = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n"  # a request smuggled after it
        with api.connect() as client:
            client.sendall(sent + follow)
            received = read_all(client)
        assert received.startswith(b"HTTP/1.1 400 "), received
        assert b"HTTP/1.1 200" not in received

    @pytest.mark.parametrize(
        "headers",
        ["".join(f"X-{n}: a\r\n" for n in range(200)), f"X-Long: {'a' * 40_000}\r\n", f"X-Long: {'a' * 4_000_000}\r\n"],
        ids=["many", "long", "longer than any buffer"],
    )
    def test_headers_have_an_end(self, api: Served, headers: str) -> None:
        with api.connect() as client:
            try:
                client.sendall(request("/healthz", headers=headers))
            except ConnectionError:
                return  # it got the answer while it was still sending
            received = read_all(client)
        assert not received or (b" 431 " in received and b"headers_too_large" in received)

    def test_a_long_path_has_one_too(self, api: Served) -> None:
        assert api.ask("/" + "a" * 40_000).status == 431

    def test_a_header_cannot_bring_another_one_into_the_answer(self, api: Served) -> None:
        answer = api.ask("/healthz", headers="X-Request-ID: a%0d%0aSet-Cookie: b\r\n")
        assert "set-cookie" not in answer.headers
        assert answer.headers["x-request-id"].startswith("req_")

    def test_requests_in_a_row_are_answered_in_their_order(self, api: Served) -> None:
        with api.connect() as client:
            first = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"
            client.sendall(first * 20 + request("/healthz"))
            received = read_all(client)
        assert received.count(b"HTTP/1.1 404 ") == 20
        assert received.endswith(b'{"status":"ok"}')

    def test_an_upgrade_is_not_made(self, api: Served) -> None:
        upgrade = "Upgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n"
        with api.connect() as client:
            client.sendall(f"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\n{upgrade}\r\n".encode())
            assert not read_all(client).startswith(b"HTTP/1.1 101")


class TestConcurrency:
    def test_beyond_the_limit_requests_are_503_and_health_is_answered(self, facade: Facade) -> None:
        waits = request(PIPELINES, str(facade.editor.headers["X-API-Key"]), method="POST", body=b"{}" + b" " * 100)
        with served(facade, max_requests=10, body_timeout_s=60) as api, many(api, 10, waits[:-50]) as clients:
            eventually(lambda: len(api.server.server_state.tasks) == 10)
            answer = api.ask(PIPELINES)
            assert answer.status == 503
            assert answer.error["code"] == "unavailable"
            assert answer.headers["retry-after"].isdigit()
            assert [api.ask(path).status for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3
            for client in clients:
                client.sendall(waits[-50:])
                assert answer_of(client).status == 400
            assert api.ask(PIPELINES).status == 200
            assert api.refusals["requests"] == 1

    def test_one_tenant_cannot_take_all_of_them(self, facade: Facade) -> None:
        waits = request(PIPELINES, str(facade.editor.headers["X-API-Key"]), method="POST", body=b"{}" + b" " * 100)
        limits = {"max_requests": 20, "max_requests_per_tenant": 5, "body_timeout_s": 60}
        with served(facade, **limits) as api, many(api, 5, waits[:-50]):
            eventually(lambda: api.app.state.services.admission.under_way("default") == 5)
            answer = api.ask(PIPELINES)
            assert (answer.status, answer.error["code"]) == (429, "too_many_requests")
            assert "retry-after" in answer.headers
            assert api.ask(PIPELINES, key=str(facade.foreign.headers["X-API-Key"])).status == 200

    def test_requests_that_wait_for_the_database_leave_health_its_connections(self, facade: Facade) -> None:
        with served(facade) as api, facade.engine.begin() as connection:
            connection.execute(text("LOCK TABLE headrace.pipelines IN ACCESS EXCLUSIVE MODE"))
            with many(api, 150, request(PIPELINES, api.key)):
                eventually(lambda: len(api.server.server_state.tasks) >= 100)
                assert [api.ask(path).status for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3
                connection.rollback()

    def test_there_are_no_more_connections_than_the_process_has_files(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 1024))
        monkeypatch.setattr("resource.setrlimit", lambda *_: None)
        bounds = connection_limits(settings_for("postgresql:///x", max_connections=5000))
        assert bounds.most == 1024 - RESERVED_FILES
        assert bounds.per_address == bounds.most // 2
