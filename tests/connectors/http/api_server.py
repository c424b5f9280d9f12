"""A local web API with every pagination type, and failures on demand."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

RAW = dict[str, Any]


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str
    url: str


@dataclass
class Failure:
    """An answer that is given instead, once."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b'{"error": {"message": "slow down"}}'
    cut: bool = False


class ApiServer:
    """`records` by path are JSON texts. Paths: /page/…, /offset/…, /token/…, /after/…, /link/…, /next/…, /whole/…"""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.records: dict[str, list[str]] = {}
        self.asked: list[Asked] = []
        self.failures: list[Failure] = []
        self.pages: dict[str, Callable[[Asked], tuple[int, dict[str, str], bytes]]] = {}
        self.key: tuple[str, str] | None = None
        """A header and the value that it must have."""
        self.tokens: list[str] | None = None
        """Those that are good; each POST /oauth makes one."""
        self.token_path = "/oauth"
        self.open_to_all: tuple[str, ...] = ()
        """Paths of `pages` that need no token."""
        self.made = 0
        self.gzips = self.ignores_paging = False
        self.limit: tuple[int, Failure] | None = None
        """Every so many requests, this answer."""
        self.before_page: Callable[[Asked], None] = lambda asked: None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 20  # headers and body in one packet

            def do_GET(self) -> None:
                outer._answer(self)

            do_POST = do_PUT = do_PATCH = do_GET

            def log_message(self, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{host}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Stops the server."""
        self._server.shutdown()
        self._server.server_close()

    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [each.url for each in self.asked]

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length).decode()
        query = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        asked = Asked(request.command, parts.path, query, dict(request.headers.items()), body, request.path)
        self.asked.append(asked)
        if self.limit is not None and len(self.asked) % self.limit[0] == 0:
            failure = self.limit[1]
            return self._say(request, failure.status, failure.headers, failure.body)
        if asked.path == self.token_path:
            return self._oauth(request, asked)
        if self.failures:
            failure = self.failures.pop(0)
            return self._say(request, failure.status, failure.headers, failure.body, cut=failure.cut)
        if self.key is not None and asked.headers.get(self.key[0]) != self.key[1]:
            return self._say(request, 401, {}, b'{"message": "who are you"}')
        if asked.path in self.open_to_all:
            return self._say(request, *self.pages[asked.path](asked))
        if self.tokens is not None and asked.headers.get("Authorization") not in [f"Bearer {t}" for t in self.tokens]:
            return self._say(request, 401, {}, b'{"message": "expired"}')
        self.before_page(asked)
        if asked.path in self.pages:
            return self._say(request, *self.pages[asked.path](asked))
        _, way, *rest = asked.path.split("/", 2)
        name = rest[0] if rest else ""
        if name not in self.records:
            return self._say(request, 404, {}, b"<html>nothing here</html>")
        given = {**asked.query, **(json.loads(body) if body.startswith("{") else {})}
        status, headers, content = self._page(way, name, given)
        return self._say(request, status, headers, content)

    def _page(self, way: str, name: str, query: RAW) -> tuple[int, dict[str, str], bytes]:
        records, size = self.records[name], int(query.get("limit", 100))
        if "since" in query:
            records = [each for each in records if str(json.loads(each)["at"]) >= query["since"]]
        start = 0
        if self.ignores_paging:
            pass
        elif way == "page":
            start = (int(query.get("page", 1)) - 1) * size
        elif way in ("offset", "token", "link", "next"):
            start = int(str(query.get("at", 0)).removeprefix("t"))
        elif way == "after" and "after" in query:
            ids = [str(json.loads(each)["id"]) for each in records]
            start = ids.index(str(query["after"])) + 1
        page = records[start : start + size]
        more = start + size < len(records)
        following = f"{self.url}/{way}/{name}?" + urlencode({**query, "at": start + size})
        headers = {"X-Page": str(start)}
        if way == "link" and more:
            headers["Link"] = f'<{following}>; rel="next", <{self.url}>; rel="first"'
        if way == "whole":
            return 200, headers, f"[{', '.join(records)}]".encode()
        answer = f'"items": [{", ".join(page)}], "total": {len(records)}, "more": {json.dumps(more)}'
        if way == "token":
            answer += f', "meta": {{"next": {json.dumps(f"t{start + size}" if more else None)}}}'
        if way == "next":
            answer += f', "next": {json.dumps(following if more else None)}'
        return 200, headers, f"{{{answer}}}".encode()

    def _oauth(self, request: BaseHTTPRequestHandler, asked: Asked) -> None:
        form = {name: values[0] for name, values in parse_qs(asked.body).items()}
        if form.get("client_secret") != "s3cret-of-client":
            return self._say(request, 401, {}, b'{"error": "invalid_client"}')
        self.made += 1
        token = f"token-{self.made}"
        if self.tokens is not None:
            self.tokens.append(token)
        return self._say(request, 200, {}, json.dumps({"access_token": token, "expires_in": 3600}).encode())

    def _say(
        self, request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False
    ) -> None:
        if self.gzips and status == 200:
            body = gzip.compress(body)
            headers = {**headers, "Content-Encoding": "gzip"}
        request.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: len(body) // 2] if cut else body)
        request.close_connection = cut


def numbered(count: int, *, begin: int = 1) -> list[str]:
    """Records with an id, a name, an exact number, something nested, and a moment that grows."""
    return [
        f'{{"id": {n}, "name": "n{n}", "amount": {n}.10000000000000000{n}, "tags": ["a", {{"b": {n}.50}}], '
        f'"at": "2024-01-{1 + n // 1440 % 28:02}T{n // 60 % 24:02}:{n % 60:02}:00Z"}}'
        for n in range(begin, begin + count)
    ]


def waited() -> tuple[list[float], Callable[[float], None]]:
    """A sleep that only notes how long it would have been."""
    times: list[float] = []

    def sleep(seconds: float) -> None:
        times.append(seconds)
        time.sleep(0)

    return times, sleep
