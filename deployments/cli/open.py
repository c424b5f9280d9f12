"""`headrace open`: opens the console or Prefect's UI, signed in, or the API's docs."""

from __future__ import annotations

import os
import sys
import webbrowser
from html import escape
from pathlib import Path
from shlex import quote
from typing import Annotated, Literal
from urllib.parse import urlencode

import httpx
import typer

from headrace.deployments.cli.options import DataDir
from headrace.deployments.cli.output import note, say
from headrace.deployments.errors import HeadraceError
from headrace.deployments.prefect.api import SIGN_IN_LINKS_PATH, SIGN_IN_PATH, NotAuthorized, PrefectApi
from headrace.deployments.stack.layout import DEFAULT_DATA_DIR, Layout
from headrace.deployments.stack.private_files import write_private_text
from headrace.deployments.stack.state import StackState

_TIMEOUT_S = 10.0


def open_page(
    what: Annotated[
        Literal["console", "prefect", "api"], typer.Argument(help="The console, Prefect's UI, or the API's docs.")
    ] = "console",
    page: Annotated[str, typer.Argument(help="A page of it, such as /runs/<id>.", show_default=False)] = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    browser: Annotated[bool, typer.Option(help="Open a browser, where there is one.")] = True,
) -> None:
    """Print a link to the console, to Prefect's UI or to the API's docs, and open it in a browser.

    The first two sign the browser in. A link works once, within two minutes; the browser stays signed in after that.
    """
    layout = Layout.of(data_dir)
    state = StackState.read(layout.state)
    if what != "prefect" and state is None:
        raise HeadraceError(f"No stack runs on {layout.root}.", "`headrace up` starts one.")
    if what == "api" and state is not None:
        link = f"{state.api_url.removesuffix('/api/v1')}/docs"
    elif what == "console" and state is not None:
        link = console_link(state, page)
        note("The link signs in once, within two minutes.")
    else:
        link = sign_in_link(_prefect(state, layout), page)
        note("The link signs in once, within two minutes.")
    say(link)
    if browser and state is not None and _has_display():
        # Not the link itself: every user of the machine can read the browser's command line.
        detour = layout.root / "open.html"
        write_private_text(detour, f'<meta http-equiv="refresh" content="0;url={escape(link)}">\n')
        webbrowser.open(detour.as_uri())


def console_link(state: StackState, page: str = "") -> str:
    """A link to `page` of the console (a path) that signs in once. Raises HeadraceError."""
    base = state.api_url.removesuffix("/api/v1")
    _check_page(page, base)
    try:
        answer = httpx.post(f"{base}/login/links", headers={"X-API-Key": state.api_key}, timeout=_TIMEOUT_S)
        token = str(answer.raise_for_status().json()["token"])
    except httpx.HTTPError as error:
        raise HeadraceError(f"The API at {base} does not answer as it should ({type(error).__name__}).") from None
    following = f"?{urlencode({'next': page})}" if page else ""
    return f"{base}/login{following}#{token}" if token else f"{base}{page or '/'}"


def _check_page(page: str, base: str) -> None:
    if page and (not page.startswith("/") or page.startswith("//")):
        raise HeadraceError(f"'{page}' is not a page of {base}.", "A page begins with a slash, such as /runs.")


def sign_in_link(prefect: PrefectApi, page: str = "") -> str:
    """A link to `page` of Prefect's UI (a path) that signs in once. Raises StackError."""
    base = prefect.url.removesuffix("/api")
    _check_page(page, base)
    try:
        answer = prefect.let_in(httpx.post(f"{base}{SIGN_IN_LINKS_PATH}", headers=prefect.headers, timeout=_TIMEOUT_S))
    except httpx.HTTPError as error:
        raise HeadraceError(f"Prefect at {base} does not answer ({type(error).__name__}).") from None
    except NotAuthorized as error:
        raise HeadraceError(str(error)) from None
    if not answer.is_success:  # a Prefect server that Headrace did not start
        raise HeadraceError(
            f"The Prefect server at {base} makes no such links.", f"Open {base} and type its auth string."
        )
    made = answer.json()
    return f"{made['ui'] or base}{SIGN_IN_PATH}#{made['token']}{page}"


def _prefect(state: StackState | None, layout: Layout) -> PrefectApi:
    if state is not None:
        return state.prefect_api
    url = os.environ.get("HEADRACE_PREFECT_API_URL") or os.environ.get("PREFECT_API_URL")
    if url:
        return PrefectApi.of(url)
    raise HeadraceError(
        f"No stack runs on {layout.root}, and no other Prefect is named.",
        "Start one with `headrace up`, or set PREFECT_API_URL and PREFECT_API_AUTH_STRING.",
    )


def _has_display() -> bool:
    """Whether there is a display: without one, webbrowser opens a text browser in the terminal."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def data_dir_option(data_dir: Path) -> str:
    """The option with which a command finds the stack on `data_dir`; empty for the default folder."""
    layout = Layout.of(data_dir)
    return "" if layout == Layout.of(DEFAULT_DATA_DIR) else f" --data-dir {quote(str(layout.root))}"
