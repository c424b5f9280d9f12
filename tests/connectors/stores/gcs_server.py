"""A proxy that adds writing over the XML API to fake-gcs-server, which supports it for reading only.

Writes are stored by fake-gcs-server through its JSON API. It has no conditions:
they are looked at here, one write after the other.
Tokens are given as Google's server gives them, to who signs with the account's key.
"""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

BUCKET = "files"
TOKEN = "a token of the emulator"


class GcsServer:
    """`account` is the JSON file of the service account."""

    def __init__(self, port: int) -> None:
        self._inner = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False)
        self._inner.post("/storage/v1/b?project=p", json={"name": BUCKET}).raise_for_status()
        self._key = rsa.generate_private_key(65537, 2048)
        self._alone = threading.Lock()
        self.cuts = 0
        """So many answers with content end in their middle."""
        self.tokens = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._answer(self)

            do_HEAD = do_PUT = do_POST = do_DELETE = do_GET

            def log_message(self, *args: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="gcs", daemon=True).start()
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        self.account = {
            "type": "service_account",
            "client_email": "reader@p.iam.gserviceaccount.com",
            "private_key": pem.decode(),
            "private_key_id": "1",
            "token_uri": f"{self.url}/token",
        }

    def close(self) -> None:
        """Stops the access."""
        self._server.shutdown()
        self._server.server_close()

    def add(self, name: str, content: bytes) -> None:
        """Somebody puts an object there."""
        self._inner.post(self._upload(name), content=content).raise_for_status()

    def content(self, name: str) -> bytes:
        """What is in it."""
        return self._inner.get(f"/{BUCKET}/{quote(name)}").raise_for_status().content

    def names(self, prefix: str) -> list[str]:
        """All objects that begin so."""
        found = self._inner.get(f"/storage/v1/b/{BUCKET}/o", params={"prefix": prefix}).json()
        return sorted(each["name"] for each in found.get("items", ()))

    def _upload(self, name: str) -> str:
        return f"/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={quote(name, safe='')}"

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        cut = False
        if request.path == "/token":
            answer = self._token(body)
        elif request.headers.get("Authorization") != f"Bearer {TOKEN}":
            answer = httpx.Response(401, content=b"<Error><Code>AuthenticationFailed</Code></Error>")
        elif request.command == "PUT":
            with self._alone:
                answer = self._put(request, body)
        else:
            headers = {name: value for name, value in request.headers.items() if name.lower() in ("range", "accept")}
            answer = self._inner.request(request.command, request.path, headers=headers)
            wanted = request.headers.get("If-Match")
            if wanted and answer.headers.get("ETag", "").strip('"') != wanted.strip('"'):
                answer = httpx.Response(412)
            cut = request.command == "GET" and "?" not in request.path
        self._say(request, answer, cut=cut)

    def _put(self, request: BaseHTTPRequestHandler, body: bytes) -> httpx.Response:
        name = unquote(urlsplit(request.path).path).removeprefix(f"/{BUCKET}/")
        new = request.headers.get("x-goog-if-generation-match") == "0"
        if new and self._inner.head(f"/{BUCKET}/{quote(name)}").status_code == 200:
            return httpx.Response(412)
        copied = request.headers.get("x-goog-copy-source")
        if copied is None:
            answer = self._inner.post(self._upload(name), content=body)
        else:
            source, to = quote(unquote(copied).removeprefix(f"{BUCKET}/"), safe=""), quote(name, safe="")
            answer = self._inner.post(f"/storage/v1/b/{BUCKET}/o/{source}/rewriteTo/b/{BUCKET}/o/{to}")
        if answer.status_code != 200:
            return httpx.Response(answer.status_code)
        made = answer.json().get("resource", answer.json())
        return httpx.Response(200, headers={"ETag": f'"{made["etag"]}"', "x-goog-generation": made["generation"]})

    def _token(self, body: bytes) -> httpx.Response:
        assertion = parse_qs(body.decode())["assertion"][0]
        text, _, signature = assertion.rpartition(".")
        claims = json.loads(base64.urlsafe_b64decode(text.partition(".")[2] + "=="))
        try:
            self._key.public_key().verify(
                base64.urlsafe_b64decode(signature + "=="), text.encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature:
            claims = {}
        if claims.get("aud") != self.account["token_uri"]:
            refused = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
            return httpx.Response(400, json=refused)
        self.tokens += 1
        return httpx.Response(200, json={"access_token": TOKEN, "expires_in": 3600})

    def _say(self, request: BaseHTTPRequestHandler, answer: httpx.Response, *, cut: bool = False) -> None:
        request.send_response(answer.status_code)
        body = answer.content
        length = answer.headers.get("Content-Length", "0") if request.command == "HEAD" else str(len(body))
        for name, value in answer.headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "content-encoding"):
                request.send_header(name, value)
        request.send_header("Content-Length", length)
        request.end_headers()
        if cut and self.cuts and body:
            self.cuts -= 1
            body = body[: len(body) // 2]
            request.close_connection = True
        if request.command != "HEAD":
            request.wfile.write(body)
