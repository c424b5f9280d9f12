"""The command line in this process, with a real API server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from click.testing import Result
from typer.testing import CliRunner

from headrace.api.monitoring.logs import configure_logs
from headrace.deployments.cli.app import app
from tests.api.conftest import Facade, facade, facade_roles, facade_url, running_facade

__all__ = ["facade", "facade_roles", "facade_url", "running_facade"]


@dataclass(frozen=True)
class Terminal:
    """Calls `headrace` with an editor's key."""

    url: str
    api_key: str

    def __call__(self, *arguments: str | Path, code: int = 0, **environment: str) -> Result:
        """The result of the command, which has to end with `code`."""
        given = {"HEADRACE_URL": self.url, "HEADRACE_API_KEY": self.api_key, "TERM": "dumb", "NO_COLOR": "1"}
        result: Result = CliRunner().invoke(app, [str(each) for each in arguments], env=given | environment)
        assert result.exit_code == code, result.output + repr(result.exception)
        return result

    def fails(self, *arguments: str | Path, **environment: str) -> str:
        """The message of the error that the command ends with."""
        result = self(*arguments, code=1, **environment)
        assert result.exception is not None
        return str(getattr(result.exception, "message", result.exception))


@pytest.fixture
def headrace(facade: Facade) -> Iterator[Terminal]:
    """A terminal next to a facade with nothing in it, whose log does not mix with what the commands print."""
    configure_logs()
    listener = socket.create_server(("127.0.0.1", 0))  # not a port alone, which somebody else might take meanwhile
    server = uvicorn.Server(uvicorn.Config(facade.app, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield Terminal(f"http://127.0.0.1:{listener.getsockname()[1]}", str(facade.editor.headers["X-API-Key"]))
    server.should_exit = True
    thread.join(10)


def pipeline_document(name: str = "Orders", **changes: Any) -> dict[str, Any]:
    """A pipeline as a file has it, from the connector `files` into the schema `orders`."""
    nodes = [
        {"id": "src", "kind": "source", "connector": "local_fs", "config": {"path": "orders.csv"}},
        {"id": "tgt", "kind": "target", "input": "src", "schema": "public.ds_orders", "loadMode": "append"},
    ]
    ir = {"kind": "pipeline", "version": "1.0", "id": "orders", "metadata": {"name": name}, "nodes": nodes}
    return {"connector": "files", "schema": "orders"} | ir | changes


CONNECTOR = {"kind": "connector", "name": "files", "type": "local_fs"}
SCHEMA: dict[str, Any] = {
    "kind": "schema",
    "name": "orders",
    "displayName": "Orders",
    "fields": [{"name": "id", "dataType": "bigint", "isPrimaryKey": True}, {"name": "amount", "dataType": "integer"}],
}
