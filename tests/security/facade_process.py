"""A facade in a separate process, for attacks on its memory, threads and time."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from headrace.catalog.bootstrap import ensure_tenant, issue_key
from headrace.catalog.engine import make_engine, upgrade
from headrace.catalog.security.credentials import generate_encryption_key
from headrace.deployments.stack.database.server import EmbeddedPostgres, ensure_database

PEPPER = "a pepper for tests"
BASE = "/api/v1"


@dataclass
class FacadeProcess:
    """Where it is, its process, and clients of two tenants."""

    url: str
    process: psutil.Process
    files: Path
    client: httpx.Client
    other: httpx.Client

    def children(self) -> list[psutil.Process]:
        """The children that work right now: those of the process that forks."""
        forks = [
            each
            for each in self.process.children()
            if "headrace.api.subprocesses.fork_server" in " ".join(each.cmdline())
        ]
        return [child for fork in forks for child in fork.children()]

    def pipeline(self, name: str, fields: list[dict[str, Any]], nodes: list[dict[str, Any]], **body: Any) -> str:
        """The path of a new pipeline."""
        connector = self.created("/connectors", {"name": f"files of {name}", "type": "local_fs", "config": {}})
        schema = self.created("/schemas", {"name": name, "displayName": name, "fields": fields})
        ids = {"connectorId": connector["id"], "schemaId": schema["id"]}
        ir = {"kind": "pipeline", "version": "1.0", "id": name, "metadata": {"name": name}, "nodes": nodes}
        made = self.created("/pipelines", {"name": name, **ids, "irVersion": "1.0", "ir": ir, **body})
        return f"{BASE}/pipelines/{made['id']}"

    def created(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        response = self.client.post(BASE + path, json=body)
        assert response.status_code == 201, response.text
        answer: dict[str, Any] = response.json()
        return answer


@contextmanager
def facade_process(server: EmbeddedPostgres, folder: Path, **settings: str) -> Iterator[FacadeProcess]:
    """A facade with these settings (`HEADRACE_` is added to their names); Prefect is not there."""
    database = f"headrace_{folder.name.replace('-', '_')}"
    ensure_database(server.url("postgres"), database)
    url = server.url(database)
    upgrade(url)
    engine = make_engine(url)
    keys = []
    for tenant in ("default", "other"):
        ensure_tenant(engine, tenant)
        keys.append(issue_key(engine, tenant_id=tenant, name="admin", role="admin", pepper=PEPPER))
    engine.dispose()
    files = folder / "files"
    files.mkdir()
    (folder / "files.tenants" / "other").mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {
        "HEADRACE_DATABASE_URL": url,
        "HEADRACE_KEY_PEPPER": PEPPER,
        "HEADRACE_ENCRYPTION_KEYS": generate_encryption_key(),
        "HEADRACE_FILES_ROOT": str(files),
        "HEADRACE_PREFECT_API_URL": "http://127.0.0.1:9/api",
        "PREFECT_API_URL": "http://127.0.0.1:9/api",
        "PREFECT_HOME": str(folder / "prefect"),
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        **{f"HEADRACE_{name.upper()}": value for name, value in settings.items()},
    }
    with (folder / "facade.log").open("wb") as log:
        started = subprocess.Popen(
            [sys.executable, "-P", "-m", "headrace.api.server", "--port", str(port)],
            env={**os.environ, **own},
            stdout=log,
            stderr=log,
        )
    clients = [
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"X-API-Key": key}, timeout=120, verify=False)
        for key in keys
    ]
    try:
        until = time.monotonic() + 60
        while True:
            try:
                if clients[0].get(f"{BASE}/pipelines").status_code == 200:
                    break
            except httpx.TransportError:
                assert time.monotonic() < until, (folder / "facade.log").read_text()
            time.sleep(0.1)
        yield FacadeProcess(str(clients[0].base_url), psutil.Process(started.pid), files, *clients)
    finally:
        for client in clients:
            client.close()
        started.terminate()
        started.wait(30)
