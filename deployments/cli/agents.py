"""`headrace mcp`: tools for agents, over the Model Context Protocol."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.deployments.cli.options import ApiKey, DataDir, Url, connect
from headrace.deployments.cli.output import err
from headrace.deployments.extras import require
from headrace.deployments.stack.layout import DEFAULT_DATA_DIR


def mcp(
    allow_writes: Annotated[
        bool, typer.Option("--allow-writes", help="Offer tools that create, change, run, retry and cancel, too.")
    ] = False,
    http: Annotated[
        int | None,
        typer.Option("--http", min=1, max=65535, help="Listen at http://127.0.0.1:<port>/mcp, not on stdio."),
    ] = None,
    url: Url = None,
    api_key: ApiKey = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Serve tools for agents (Model Context Protocol): read, validate, plan and preview pipelines, follow runs and
    their errors, discover sources. Nothing is changed without --allow-writes, nor beyond the role of the key."""
    require("mcp", "`headrace mcp`")
    from headrace.deployments.mcp.server import make_server

    with connect(url, api_key, data_dir) as rest:
        server = make_server(rest, allow_writes=allow_writes)
        if http is None:
            server.run("stdio")
        else:
            # Anybody who reaches the port acts with the key: this machine only, and no page of a browser.
            err.print(f"Listening at http://127.0.0.1:{http}/mcp")
            server.run("streamable-http", host="127.0.0.1", port=http, stateless_http=True)
