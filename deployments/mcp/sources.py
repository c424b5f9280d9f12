"""Tools for connectors: what there is, whether the connection works, and which streams and columns it has."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from headrace.deployments.cli.rest import Rest
from headrace.deployments.errors import HeadraceError
from headrace.deployments.mcp.named import named_id
from headrace.deployments.mcp.tools import reads
from headrace.ir.problems import nearest

Connector = Annotated[str, Field(description="The connector's name or id")]


class SourceTools:
    """Over one session with the API."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    @reads
    def list_connectors(self) -> Any:
        """List connectors: what data comes from. Credentials are never shown."""
        shown = ("id", "name", "type", "status", "lastTestedAt", "lastError")
        return [{name: each[name] for name in shown} for each in self._rest.all("/connectors")]

    @reads
    def source_types(
        self,
        type: Annotated[
            str | None, Field(description="A type, for the JSON Schemas of its config and credentials; else the list")
        ] = None,
    ) -> Any:
        """List the types of connectors, with the name of each in a source node; or show one."""
        found = self._rest.get("/connector-types")["data"]
        if type is None:
            return [{name: each[name] for name in ("type", "source", "title", "status")} for each in found]
        for each in found:
            if each["type"] == type:
                return each
        raise HeadraceError(f"There is no type '{type}'.", nearest(type, [str(each["type"]) for each in found]))

    @reads
    def list_schemas(self) -> Any:
        """List schemas: the tables that pipelines load into, with their columns."""
        return [
            {
                "id": each["id"],
                "name": each["name"],
                "table": each["tableName"],
                "columns": {field["name"]: field["dataType"] for field in each["fields"]},
            }
            for each in self._rest.all("/schemas")
        ]

    @reads
    def test_connector(self, connector: Connector) -> Any:
        """Test a connection: whether it works, or what is wrong and how to fix it."""
        return self._rest.post(f"/connectors/{named_id(self._rest, 'connector', connector)}/test")

    @reads
    def discover(
        self,
        connector: Connector,
        text: Annotated[str | None, Field(description="Part of the stream's name")] = None,
        stream: Annotated[str | None, Field(description="Show the columns of this stream, by its whole name")] = None,
    ) -> Any:
        """List what can be read at a connection (tables, files, topics, objects of an API), or the columns of one."""
        path = f"/connectors/{named_id(self._rest, 'connector', connector)}/streams"
        if stream is not None:
            return self._rest.get(path.removesuffix("s"), name=stream)
        page = self._rest.get(path, filter=text, limit=50)
        return {"streams": page["data"], "total": page["pagination"]["total"]}
