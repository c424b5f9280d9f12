"""`headrace mcp` over its transports: what reaches the port acts with the server's key, so only this machine's programs
may, and no page of a browser."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import psutil
import pytest
from mcp import StdioServerParameters
from mcp.client import Client

from tests.deployments.cli.conftest import Terminal, facade, facade_roles, facade_url, headrace, running_facade
from tests.rest import ask, eventually

__all__ = ["facade", "facade_roles", "facade_url", "headrace", "running_facade"]

pytestmark = pytest.mark.postgres

COMMAND = ["-P", "-m", "headrace.deployments.cli.app", "mcp"]


def environment(headrace: Terminal) -> dict[str, str]:
    return {**os.environ, "HEADRACE_URL": headrace.url, "HEADRACE_API_KEY": headrace.api_key}


@contextmanager
def listening(headrace: Terminal) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """The port and the process of a server with HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([sys.executable, *COMMAND, "--http", str(port)], env=environment(headrace))

    def answers() -> bool | None:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0 or None

    try:
        eventually(answers)
        yield port, process
    finally:
        process.terminate()
        process.wait()


async def _tools(server: StdioServerParameters | str) -> set[str]:
    async with Client(server) as client:
        return {each.name for each in (await client.list_tools()).tools}


def test_without_leave_there_is_no_tool_that_writes(headrace: Terminal) -> None:
    server = StdioServerParameters(command=sys.executable, args=COMMAND, env=environment(headrace))
    names = anyio.run(_tools, server)
    assert "list_pipelines" in names
    assert not names & {"create_pipeline", "update_pipeline", "run_pipeline", "retry_run", "cancel_run"}


def test_over_http_only_programs_of_this_machine_are_answered(headrace: Terminal) -> None:
    with listening(headrace) as (port, process):
        address = f"http://127.0.0.1:{port}/mcp"
        assert "list_pipelines" in anyio.run(_tools, address)
        sockets = [each for each in psutil.Process(process.pid).net_connections() if each.status == "LISTEN"]
        assert {each.laddr.ip for each in sockets} == {"127.0.0.1"}
        listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
        accepted = {"Accept": "application/json, text/event-stream"}
        for foreign in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}):  # a page; DNS rebinding
            answer = ask("POST", address, json=listing, headers=accepted | foreign)
            assert answer.status_code in (403, 421), foreign
            assert "list_pipelines" not in answer.text


def test_the_key_is_in_no_answer_and_no_message(headrace: Terminal) -> None:
    async def everything(server: StdioServerParameters) -> str:
        async with Client(server) as client:
            shown = [repr(client.server_info), repr(await client.list_tools())]
            for tool in ("list_pipelines", "list_connectors", "get_pipeline"):
                shown.append(repr(await client.call_tool(tool, {"pipeline": "none"} if "get" in tool else {})))
            return "".join(shown)

    server = StdioServerParameters(command=sys.executable, args=COMMAND, env=environment(headrace))
    assert headrace.api_key not in anyio.run(everything, server)
