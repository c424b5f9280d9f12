"""`headrace serve`: the facade alone, where PostgreSQL, Prefect and workers are run by others."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import httpx
import typer
from pydantic import ValidationError
from rich.console import Console

_err = Console(stderr=True, highlight=False, soft_wrap=True)


def serve(
    host: Annotated[str, typer.Option(envvar="HEADRACE_HOST", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="HEADRACE_PORT", min=1, max=65535, help="The API's port.")] = 8000,
) -> None:
    """Run the API, for containers and services; `headrace db upgrade` goes before, `headrace worker` beside it.

    Reads HEADRACE_DATABASE_URL, HEADRACE_KEY_PEPPER, HEADRACE_ENCRYPTION_KEYS and HEADRACE_PREFECT_API_URL.
    """
    os.environ |= {"HEADRACE_HOST": host, "HEADRACE_PORT": str(port)}
    from catalog.settings import settings
    from deployments.stack.errors import StackError
    from deployments.stack.zombies import ensure_zombie_automation

    try:
        prefect_api_url = settings().prefect_api_url
    except ValidationError as error:
        wrong = [f"HEADRACE_{str(each['loc'][0]).upper()}: {each['msg']}" for each in error.errors() if each["loc"]]
        raise StackError("The settings are not complete.", "; ".join(wrong)) from None
    try:
        ensure_zombie_automation(prefect_api_url)
    except httpx.HTTPError as error:
        _err.print(
            f"Prefect at {prefect_api_url} does not answer ({error!r}); the API starts all the same", markup=False
        )
    arguments = [sys.executable, "-P", "-m", "uvicorn", "api.app:create_app", "--factory", "--no-access-log"]
    arguments += ["--host", host, "--port", str(port), "--timeout-graceful-shutdown", "5"]
    sys.stdout.flush()
    # A new interpreter instead of this one: its import path is safe, and a SIGTERM reaches the server itself.
    environment = {**os.environ, "PREFECT_API_URL": prefect_api_url, "PYTHONSAFEPATH": "1"}
    os.execve(sys.executable, arguments, environment)  # noqa: S606
