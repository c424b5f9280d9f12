"""A web server on this machine whose habits a test may choose."""

from __future__ import annotations

import gzip
import hashlib
import re
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class WebServer:
    """`files` by path. `asked` are method, path and headers of every request."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.files: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.cuts = 0
        """So many answers end in their middle."""
        self.tags = self.times = self.ranges = self.heads = True
        self.gzips = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._answer(self)

            do_HEAD = do_GET

            def log_message(self, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer((host, 0), Handler)
        self.url = f"http://{host}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        """Stops the server."""
        self._server.shutdown()
        self._server.server_close()

    def parts(self) -> list[str]:
        """The ranges that were asked for."""
        return [headers["Range"] for _, _, headers in self.asked if "Range" in headers]

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        headers = dict(request.headers.items())
        self.asked.append((request.command, request.path, headers))
        path = request.path.partition("?")[0]
        if path in self.redirects:
            return self._say(request, 302, b"", {"Location": self.redirects[path]})
        if request.command == "HEAD" and not self.heads:
            return self._say(request, 405, b"")
        content = self.files.get(path)
        if content is None:
            return self._say(request, 404, b"")
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        said = {"ETag": tag} if self.tags else {}
        if self.times:
            said["Last-Modified"] = formatdate(1_700_000_000 + len(content), usegmt=True)
        asked = re.fullmatch(r"bytes=(\d+)-", headers.get("Range", ""))
        if asked and self.ranges and headers.get("If-Range") in (tag, said.get("Last-Modified")):
            start = int(asked[1])
            said["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return self._say(request, 206, content[start:], said)
        if self.gzips:
            return self._say(request, 200, gzip.compress(content), said | {"Content-Encoding": "gzip"})
        return self._say(request, 200, content, said)

    def _say(
        self, request: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None
    ) -> None:
        request.send_response(status)
        for name, value in (headers or {}).items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if request.command == "HEAD":
            return
        if self.cuts and body:
            self.cuts -= 1
            request.wfile.write(body[: len(body) // 2])
            request.close_connection = True
            return
        request.wfile.write(body)
