"""Stripe's connector against localstripe, a server with Stripe's API that others wrote. It runs in an environment of
its own. It has no prices and no disputes."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.files.paths import FilesRoot
from tests.connectors.http.shipped.reading import read
from tests.connectors.stores.emulators import free_port, missing, running
from tests.connectors.stores.places import LOOPBACK

pytestmark = pytest.mark.slow

PACKAGE = "localstripe==1.15.10"
PROGRAM = """
import sys
from aiohttp import web
from localstripe.server import app
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
"""
"""Its own command listens on all addresses."""
KEY = "sk_test_12345"


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    port = free_port()
    python = _python(Path(request.config.cache.mkdir("doubles")) / "localstripe")
    with running([str(python), "-c", PROGRAM, str(port)], port):
        yield f"http://127.0.0.1:{port}"


def _python(folder: Path) -> Path:
    python, ready = folder / "bin" / "python", folder / "ready"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists() or ready.read_text() != PACKAGE:
            for command in (
                [sys.executable, "-m", "venv", "--clear", str(folder)],
                [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE],
            ):
                if subprocess.run(command, capture_output=True, check=False, timeout=600).returncode:
                    missing("localstripe", f"pip install {PACKAGE}")
            ready.write_text(PACKAGE)
    return python


def made(url: str, path: str, **form: Any) -> str:
    answer = httpx.post(f"{url}/v1/{path}", data=form, auth=(KEY, ""), trust_env=False)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def source(url: str, stream: str) -> Context:
    record = Connection("conn_1", "stripe", {"url": url, "insecureLogin": True}, {"apiKey": KEY})
    return Context(record, Surroundings(FilesRoot(Path("/nowhere")), LOOPBACK), {"endpoint": stream})


def test_what_was_made_is_read_page_by_page_and_events_once(url: str) -> None:
    customers = [made(url, "customers", email=f"é{n}@example.org") for n in range(130)]
    made(url, "products", name="Spoon")
    rows, _ = read(source(url, "customers"))
    assert sorted(each["id"] for each in rows) == sorted(customers)
    assert {each["email"] for each in rows} == {f"é{n}@example.org" for n in range(130)}
    assert [each["name"] for each in read(source(url, "products"))[0]] == ["Spoon"]
    events, position = read(source(url, "events"))
    assert len(events) == 131
    made(url, "customers", email="late@example.org")
    again, position = read(source(url, "events"), position)
    assert [each["type"] for each in again] == ["customer.created"]
    for stream in ("charges", "invoices", "payment_intents", "refunds", "payouts", "balance_transactions"):
        assert read(source(url, stream))[0] == []
