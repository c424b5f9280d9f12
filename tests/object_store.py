"""An S3 emulator on this machine, whose answers a test may spoil."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any
from uuid import uuid4

import boto3
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

BUCKET = "rows"
SECRET = "a secret that no log may hold"

Answer = Callable[..., Iterable[bytes]]


class ObjectStore:
    """moto's S3 on a real HTTP server; `environment` is what its clients need."""

    def __init__(self) -> None:
        self._inner: Any = DomainDispatcherApplication(create_backend_app)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self._faults: list[tuple[str, Answer]] = []
        self.asked: list[tuple[str, str]] = []
        """Method and path of every request."""
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="object-store", daemon=True).start()
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._server.server_port}",
            "AWS_ACCESS_KEY_ID": "headrace",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }
        self.client = boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="headrace",
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )
        self.client.create_bucket(Bucket=BUCKET)

    def url(self) -> str:
        """A prefix for one test."""
        return f"s3://{BUCKET}/{uuid4().hex[:8]}/staging"

    def names(self, url: str) -> list[str]:
        """What is below such a prefix."""
        prefix = url.removeprefix(f"s3://{BUCKET}/") + "/"
        return sorted(name.removeprefix(prefix) for name in self.objects() if name.startswith(prefix))

    def objects(self) -> dict[str, Any]:
        """The emulator's own objects by name."""
        (backend,) = [each["aws"] for each in s3_backends.values() if BUCKET in each["aws"].buckets]
        kept = backend.buckets[BUCKET].keys
        return {name: kept[name] for name in list(kept)}

    def refuse(self, method: str, status: str, code: str, *, times: int = 1) -> None:
        """The next requests of a method get this answer."""
        body = f"<Error><Code>{code}</Code><Message>That is how it is.</Message></Error>".encode()

        def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [body]

        self._faults += [(method, answer)] * times

    def break_off(self) -> None:
        """The next answer to a GET of an object ends in its middle."""

        def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
            body = b"".join(self._inner(environ, start))
            return [body[: len(body) // 2]]

        self._faults.append(("GET", answer))

    def close(self) -> None:
        """Stops the server."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        self.asked.append((method, environ["PATH_INFO"]))
        fault = next((each for each in self._faults if each[0] == method), None)
        if fault is None:
            return self._inner(environ, start)  # type: ignore[no-any-return]
        self._faults.remove(fault)
        return fault[1](environ, start)
