"""A server that records webhook requests."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from headrace.connectors.postgresql.hooks import HookDatabase
from headrace.connectors.postgresql.load.spec import RetryPolicy
from headrace.flows.runtime.hooks.base import HookContext, HookMeans, LoadedRows


@dataclass
class Receiver:
    """Somebody else's server: it answers with these statuses, the last one for ever, and keeps what it got."""

    port: int
    answers: list[int] = field(default_factory=lambda: [204])
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    location: str | None = None
    speak_tls: Callable[[Path, Path], None] = lambda cert, key: None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/loaded?by=headrace"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            here.got.append(({**dict(self.headers), "path": self.path}, body))
            status = here.answers.pop(0) if len(here.answers) > 1 else here.answers[0]
            self.send_response(status)
            if here.location:
                self.send_header("Location", here.location)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here = Receiver(server.server_address[1])

    def speak_tls(cert: Path, key: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)

    here.speak_tls = speak_tls
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield here
    server.shutdown()
    server.server_close()


CONTEXT = HookContext(
    event="post_load",
    run_id="run_2",
    root_run_id="run_1",
    pipeline_id="pipe_1",
    tenant_id="default",
    ir_version=3,
    target_node="tgt",
    table="public.ds_orders",
    loading="public.ds_orders",
    load_mode="append",
    database_url="",
    idempotency_key="run_1:tgt:post_load:0:abc",
    timeout_s=5,
    rows=LoadedRows(10, 8, 1, 1),
)


def means(*networks: str, **credentials: str) -> HookMeans:
    database = HookDatabase("", RetryPolicy())
    return HookMeans(database, [], credentials, [IPv4Network(network) for network in networks])
