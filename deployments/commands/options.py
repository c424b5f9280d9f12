"""The options that all commands over REST share, and the session they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from deployments.commands.rest import ApiRefused, Rest
from deployments.stack.errors import StackError
from deployments.stack.layout import DEFAULT_DATA_DIR, Layout
from deployments.stack.state import StackState
from ir.problems import nearest

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
    """A session with the facade that is meant. Raises StackError when nobody says where it is, or with which key."""
    state = StackState.read(Layout.of(data_dir).state)
    if url is None and state is not None:
        return Rest(state.api_url, api_key or state.api_key)
    if url is None:
        raise StackError(
            f"No stack runs on {Layout.of(data_dir).root}, and no other address is given.",
            "Start one with `headrace up`, or give --url (HEADRACE_URL) and --api-key (HEADRACE_API_KEY).",
        )
    address = url.rstrip("/") if urlsplit(url).path.strip("/") else url.rstrip("/") + _BASE_PATH
    if urlsplit(address).scheme not in ("http", "https"):
        raise StackError(f"'{url}' is not the address of an API.", "For example http://127.0.0.1:8000.")
    if api_key is None and state is not None and state.api_url == address:
        api_key = state.api_key
    if api_key is None:
        raise StackError(f"No key for {address}.", "Give --api-key or HEADRACE_API_KEY.")
    return Rest(address, api_key)


def complete_pipeline(context: typer.Context, incomplete: str) -> list[str]:
    """Names of pipelines, for the shell; none when there is nobody to ask."""
    try:
        given = context.params
        with connect(given.get("url"), given.get("api_key"), given.get("data_dir") or DEFAULT_DATA_DIR) as rest:
            found = rest.get("/pipelines", q=incomplete or None, limit=50)["data"]
        return [each["name"] for each in found if each["name"].startswith(incomplete)]
    except StackError:
        return []


Pipeline = Annotated[
    str, typer.Argument(help="The pipeline's name or id.", autocompletion=complete_pipeline, show_default=False)
]


def find_pipeline(rest: Rest, name: str) -> dict[str, object]:
    """The pipeline of that name, else of that id. Raises StackError, naming the nearest."""
    candidates = rest.all("/pipelines", q=name)
    for each in candidates:
        if each["name"] == name:
            return each
    if name.startswith("pipe_"):
        try:
            found: dict[str, object] = rest.get(f"/pipelines/{name}")
            return found
        except ApiRefused as error:
            if error.status != 404:
                raise
    names = [str(each["name"]) for each in candidates or rest.all("/pipelines")]
    hint = nearest(name, names) if names else "There are no pipelines yet: `headrace apply -f` makes some."
    raise StackError(f"There is no pipeline '{name}'.", hint)
