"""The facade on a real socket, with clients that do not behave."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from headrace.api.app import create_app
from headrace.api.server.protocol import BoundedProtocol
from headrace.api.server.run import FacadeServer
from headrace.catalog.engine import make_engine
from tests.api.conftest import Facade, LocalOrchestrator

PATIENCE_S = 30.0
"""Nothing here takes so long; a test that waits for it has failed."""


@dataclass
class Served:
    """A server that is up."""

    app: FastAPI
    server: FacadeServer
    orchestrator: LocalOrchestrator
    port: int
    key: str

    def connect(self) -> socket.socket:
        """A connection, with a small window so that what is not read is soon felt."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(PATIENCE_S)
        client.connect(("127.0.0.1", self.port))
        return client

    def ask(self, path: str, *, key: str | None = None, **more: Any) -> Answer:
        """One request on a connection of its own; `more` as `request` takes it."""
        with self.connect() as client:
            client.sendall(request(path, self.key if key is None else key, **more))
            return answer_of(client)

    @property
    def connections(self) -> list[BoundedProtocol]:
        """Those that are open on the server's side."""
        found: list[BoundedProtocol] = list(self.server.server_state.connections)
        return found

    @property
    def refusals(self) -> dict[str, float]:
        """The metric of what limits refused, by reason."""
        found: dict[str, float] = {}
        for family in self.app.state.services.metrics.registry.collect():
            for sample in family.samples:
                if sample.name == "headrace_refusals_total":
                    found[sample.labels["reason"]] = sample.value
        return found


@dataclass(frozen=True)
class Answer:
    """Status, headers (lower case) and body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)["error"]
        return found


def request(path: str, key: str = "", *, method: str = "GET", headers: str = "", body: bytes = b"") -> bytes:
    """A request as bytes; `headers` are whole lines."""
    authorized = f"X-API-Key: {key}\r\n" if key else ""
    length = f"Content-Length: {len(body)}\r\nContent-Type: application/json\r\n" if body else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{authorized}{length}{headers}Connection: close\r\n\r\n"
    return head.encode() + body


def answer_of(client: socket.socket) -> Answer:
    """Everything until the server closes, as one answer."""
    received = read_all(client)
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    assert first.startswith("HTTP/1.1 "), received
    return Answer(int(first.split()[1]), headers, body)


def read_all(client: socket.socket) -> bytes:
    """Until the other side closes or resets, which it has to in time."""
    pieces = []
    deadline = time.monotonic() + PATIENCE_S
    try:
        while piece := client.recv(65536):
            pieces.append(piece)
            assert time.monotonic() < deadline, f"it goes on and on: {piece!r}"
    except ConnectionError:
        pass
    return b"".join(pieces)


def closed(client: socket.socket, within_s: float = PATIENCE_S) -> bool:
    """Whether the server ends the connection in time, whatever it sends before."""
    deadline = time.monotonic() + within_s
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([client], [], [], left)[0]:
            return False
        try:
            if not client.recv(65536):
                return True
        except ConnectionError:
            return True
    return False


def eventually(holds: Callable[[], bool]) -> None:
    """Waits until it does."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it never did"
        time.sleep(0.02)


@contextmanager
def served(facade: Facade, **settings: Any) -> Iterator[Served]:
    """The facade of the tests on its own server, with other settings and an engine of its own."""
    changed = facade.app.state.services.settings.model_copy(update=settings)
    engine = make_engine(changed.database_url, pool_size=20)
    app = create_app(changed, orchestrator=facade.orchestrator, engine=engine)
    with ExitStack() as open_until_end:
        open_until_end.callback(engine.dispose)
        listener = open_until_end.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512))
        server = FacadeServer(app, "127.0.0.1", 0)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            eventually(lambda: server.started)
            port, key = listener.getsockname()[1], str(facade.editor.headers["X-API-Key"])
            yield Served(app, server, facade.orchestrator, port, key)
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
