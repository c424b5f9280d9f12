"""The options that commands share, and the REST session made from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from headrace.deployments.cli.rest import Rest
from headrace.deployments.errors import HeadraceError
from headrace.deployments.stack.layout import DEFAULT_DATA_DIR, Layout
from headrace.deployments.stack.state import StackState

_BASE_PATH = "/api/v1"

Url = Annotated[
    str | None,
    typer.Option("--url", envvar="HEADRACE_URL", help="The API's address; without it the stack on --data-dir."),
]
ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", envvar="HEADRACE_API_KEY", help="A key; its role decides what is allowed."),
]
DataDir = Annotated[
    Path, typer.Option("--data-dir", envvar="HEADRACE_DATA_DIR", help="Where a stack on this machine lives.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs, errors too (on stderr).")]


def connect(url: str | None, api_key: str | None, data_dir: Path) -> Rest:
    """A session with the API of the options, else of the local stack. Raises StackError without an address or key."""
    state = StackState.read(Layout.of(data_dir).state)
    if url is None and state is not None:
        return Rest(state.api_url, api_key or state.api_key)
    if url is None:
        raise HeadraceError(
            f"No stack runs on {Layout.of(data_dir).root}, and no other address is given.",
            "Start one with `headrace up`, or give --url (HEADRACE_URL) and --api-key (HEADRACE_API_KEY).",
        )
    address = api_address(url)
    if urlsplit(address).scheme not in ("http", "https"):
        raise HeadraceError(f"'{url}' is not the address of an API.", "For example http://127.0.0.1:8000.")
    if api_key is None and state is not None and state.api_url == address:
        api_key = state.api_key
    if api_key is None:
        raise HeadraceError(f"No key for {address}.", "Give --api-key or HEADRACE_API_KEY.")
    return Rest(address, api_key)


def api_address(url: str) -> str:
    """The address of the API with its base path, as in `StackState.api_url`."""
    return url.rstrip("/") if urlsplit(url).path.strip("/") else url.rstrip("/") + _BASE_PATH


def complete_pipeline(context: typer.Context, incomplete: str) -> list[str]:
    """Names of pipelines for shell completion; empty when the API cannot be used."""
    try:
        given = context.params
        with connect(given.get("url"), given.get("api_key"), given.get("data_dir") or DEFAULT_DATA_DIR) as rest:
            found = rest.get("/pipelines", q=incomplete or None, limit=50)["data"]
        return [each["name"] for each in found if each["name"].startswith(incomplete)]
    except HeadraceError:
        return []


Pipeline = Annotated[
    str,
    typer.Argument(
        help="The name or id of a pipeline, or of a replication.", autocompletion=complete_pipeline, show_default=False
    ),
]
RunId = Annotated[str | None, typer.Argument(help="The run's id; the newest run unless given.", show_default=False)]
