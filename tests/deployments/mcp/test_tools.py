"""The tools as an agent calls them: the SDK's own client, and a real API server behind the tools."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client import Client
from mcp.types import CallToolResult, TextContent

from headrace.deployments.cli.rest import Rest
from headrace.deployments.mcp.answers import MAX_CHARS, answer
from headrace.deployments.mcp.server import make_server
from tests.api.conftest import IR, Facade
from tests.deployments.cli.conftest import Terminal, facade, facade_roles, facade_url, headrace, running_facade

__all__ = ["facade", "facade_roles", "facade_url", "headrace", "running_facade"]

pytestmark = pytest.mark.postgres


@dataclass(frozen=True)
class Agent:
    """Calls tools with one key."""

    url: str
    api_key: str
    allow_writes: bool = True

    def tools(self) -> dict[str, bool]:
        """The names of the tools, and whether each says that it only reads."""

        async def ask(client: Client) -> dict[str, bool]:
            found = (await client.list_tools()).tools
            return {each.name: bool(each.annotations and each.annotations.read_only_hint) for each in found}

        return anyio.run(self._with, ask)

    def call(self, tool: str, **arguments: Any) -> Any:
        """The answer of a tool."""
        result = self._call(tool, arguments)
        assert not result.is_error, _text(result)
        return json.loads(_text(result))

    def fails(self, tool: str, **arguments: Any) -> str:
        """The error of a tool."""
        result = self._call(tool, arguments)
        assert result.is_error
        return _text(result)

    def _call(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        return anyio.run(self._with, lambda client: client.call_tool(tool, arguments))  # type: ignore[no-any-return]

    async def _with(self, ask: Callable[[Client], Any]) -> Any:
        with Rest(self.url + "/api/v1", self.api_key) as rest:
            async with Client(make_server(rest, allow_writes=self.allow_writes)) as client:
                return await ask(client)


def _text(result: CallToolResult) -> str:
    [content] = result.content
    assert isinstance(content, TextContent)
    return content.text


@pytest.fixture
def agent(headrace: Terminal) -> Agent:
    return Agent(headrace.url, headrace.api_key)


@pytest.fixture
def files_root(facade: Facade, tmp_path: Path) -> Iterator[Path]:
    """Where the facade looks for files, for this test alone."""
    services = facade.app.state.services
    facade.app.state.services = replace(
        services, settings=services.settings.model_copy(update={"files_root": tmp_path})
    )
    yield tmp_path
    facade.app.state.services = services


def test_tools_that_change_something_are_there_only_where_that_is_allowed(agent: Agent) -> None:
    everything = agent.tools()
    assert replace(agent, allow_writes=False).tools() == {name: True for name, reads in everything.items() if reads}
    assert {name for name, reads in everything.items() if not reads} == {
        *("create_pipeline", "update_pipeline", "run_pipeline", "retry_run", "cancel_run")
    }
    assert len(everything) >= 17


def test_a_pipeline_is_created_when_the_checked_document_is_confirmed(agent: Agent, facade: Facade) -> None:
    facade.pipeline()
    new: dict[str, Any] = {
        "connector": "files of orders",
        "schema": "orders",
        "document": IR | {"metadata": {"name": "Another"}},
    }
    shown = agent.call("create_pipeline", **new)
    assert (shown["saved"], shown["valid"]) == (False, True)
    assert agent.call("list_pipelines")["total"] == 1
    assert not agent.call("create_pipeline", **new, confirm="0" * 16)["saved"]
    made = agent.call("create_pipeline", **new, confirm=shown["confirm"])
    assert made["saved"]
    assert agent.call("list_pipelines", text="Anoth")["pipelines"][0]["id"] == made["id"]

    broken: dict[str, Any] = new | {"document": {**new["document"], "nodes": []}}
    refused = agent.call("create_pipeline", **broken, confirm=shown["confirm"])
    assert not refused["saved"]
    assert {each["path"] for each in refused["issues"]} == {"nodes"}


def test_an_update_is_shown_first_and_only_that_change_of_that_version_is_saved(agent: Agent, facade: Facade) -> None:
    facade.pipeline()
    changed = IR | {"nodes": [{**IR["nodes"][0], "config": {"path": "new.csv"}}, *IR["nodes"][1:]]}
    shown = agent.call("update_pipeline", pipeline="orders", document=changed)
    assert [each["details"] for each in shown["changes"]] == [
        ["config.path: orders.csv → new.csv", "config.format removed"]
    ]
    assert agent.call("get_pipeline", pipeline="orders")["version"] == 1

    other = changed | {"metadata": {"name": "orders", "owner": "me"}}
    refused = agent.call("update_pipeline", pipeline="orders", document=other, confirm=shown["confirm"])
    assert not refused["saved"]
    assert agent.call("update_pipeline", pipeline="orders", document=changed, confirm=shown["confirm"])["version"] == 2
    # the confirmation was for a change of version 1
    assert not agent.call("update_pipeline", pipeline="orders", document=changed, confirm=shown["confirm"])["saved"]


def test_documents_are_checked_planned_and_previewed(agent: Agent, facade: Facade, files_root: Path) -> None:
    facade.pipeline()
    (files_root / "orders.csv").write_text("id,amount\n1,2\n2,3\n")
    wrong = agent.call("validate_document", document=IR | {"nodes": IR["nodes"][:1]})
    assert not wrong["valid"]
    assert agent.call("plan", pipeline="orders")["estimatedRows"] == 2
    nodes = agent.call("preview", pipeline="orders", rows=1)["nodes"]
    assert len(nodes[0]["rows"]) == 1


def test_a_run_is_started_and_shown(agent: Agent, facade: Facade) -> None:
    facade.pipeline()
    run = agent.call("run_pipeline", pipeline="orders")["id"]
    assert [each["id"] for each in agent.call("list_runs", pipeline="orders")] == [run]
    shown = agent.call("get_run", pipeline="orders")
    assert (shown["id"], shown["progress"]["partitions"]) == (run, 0)
    assert agent.call("run_errors", pipeline="orders", run=run)["matching"] == 0
    assert agent.call("cancel_run", pipeline="orders", run=run) == {"cancelling": True}
    for other in (f"{run}/retry?x=", "../../api-keys"):  # no other path of the API
        assert "run" in agent.fails("cancel_run", pipeline="orders", run=other)
    assert [each["id"] for each in agent.call("list_runs", pipeline="orders")] == [run]
    assert "There is no such run" in agent.fails("retry_run", pipeline="orders", run="run_" + "0" * 32)


def test_a_tool_can_do_no_more_than_the_role_of_its_key(agent: Agent, facade: Facade) -> None:
    facade.pipeline()
    viewer = replace(agent, api_key=str(facade.viewer.headers["X-API-Key"]))
    assert viewer.call("get_pipeline", pipeline="orders")["name"] == "orders"
    assert "role" in viewer.fails("run_pipeline", pipeline="orders")
    stranger = replace(agent, api_key="hr_" + "x" * 40)
    assert "key" in stranger.fails("list_pipelines")


def test_sources_are_listed_tested_and_discovered(agent: Agent, facade: Facade, files_root: Path) -> None:
    facade.pipeline()
    (files_root / "orders.csv").write_text("id,amount\n1,2\n")
    [connector] = agent.call("list_connectors")
    assert connector["name"] == "files of orders"
    assert agent.call("list_schemas")[0]["name"] == "orders"
    assert "local_fs" in [each["source"] for each in agent.call("source_types") if each["status"] == "ready"]
    assert "basePath" in agent.call("source_types", type="local_fs")["configSchema"]["properties"]
    assert agent.call("test_connector", connector=connector["name"])["ok"]
    streams = agent.call("discover", connector=connector["name"])["streams"]
    assert "orders.csv" in [each["name"] for each in streams]
    shown = agent.call("discover", connector=connector["id"], stream="orders.csv")
    assert [each["name"] for each in shown["fields"]] == ["id", "amount"]
    assert "did you mean 'files of orders'?" in agent.fails("test_connector", connector="files of order")


def test_the_catalogue_lists_and_shows_what_a_document_may_contain(agent: Agent) -> None:
    listed = agent.call("catalogue")
    assert {"source", "target", "join"} <= listed["nodes"].keys()
    assert {"rename", "deduplicate", "sql"} <= listed["ops"].keys()
    assert all(listed["ops"].values())
    assert "llm_tag" in listed["providers"]
    for name in ("rename", "target", "llm_tag", "document"):
        assert agent.call("catalogue", name=name)
    assert "did you mean 'rename'?" in agent.fails("catalogue", name="renam")


def test_answers_fit_into_a_context_window() -> None:
    rows = [{"row": number, "value": "x" * 500} for number in range(10_000)]
    written = answer({"rows": rows, "total": 10_000})
    assert len(written) <= MAX_CHARS
    shown = json.loads(written)
    assert shown["total"] == 10_000
    assert "more" in shown["rows"][-1]
    assert answer([1, "ä"]) == '[1,"ä"]'
    wide = answer({f"column {number}": "x" * 50 for number in range(5000)})
    assert len(wide) <= MAX_CHARS
    assert "ask for less" in json.loads(wide)["cut"]
