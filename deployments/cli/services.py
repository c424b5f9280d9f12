"""`headrace serve` and `headrace worker`: one process of a deployment, run in the foreground."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import httpx
import typer
from pydantic import ValidationError

from headrace.deployments.cli.output import err, fail
from headrace.deployments.extras import require
from headrace.deployments.stack.layout import WORK_POOL


def serve(
    host: Annotated[str, typer.Option(envvar="HEADRACE_HOST", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(envvar="HEADRACE_PORT", min=1, max=65535, help="The API's port.")] = 8000,
) -> None:
    """Run the API, for containers and services; `headrace db upgrade` goes before, `headrace worker` beside it.

    Reads HEADRACE_DATABASE_URL, HEADRACE_KEY_PEPPER, HEADRACE_ENCRYPTION_KEYS and HEADRACE_PREFECT_API_URL, and
    PREFECT_API_AUTH_STRING if that Prefect requires one.
    """
    require("server", "`headrace serve`")
    os.environ |= {"HEADRACE_HOST": host, "HEADRACE_PORT": str(port)}
    from headrace.catalog.settings import settings
    from headrace.deployments.errors import HeadraceError
    from headrace.deployments.prefect.api import PrefectApi
    from headrace.deployments.stack.lost_runs import ensure_lost_run_automation

    try:
        prefect_api_url = settings().prefect_api_url
        _ = settings().pepper
    except ValueError as error:
        errors = error.errors() if isinstance(error, ValidationError) else []
        named = [(f"HEADRACE_{str(each['loc'][0]).upper()}: " if each["loc"] else "", each) for each in errors]
        wrong = [f"{name}{each['msg']}" for name, each in named]
        wrong += [] if os.environ.get("HEADRACE_KEY_PEPPER") else ["HEADRACE_KEY_PEPPER: Field required"]
        raise HeadraceError("The settings are not complete.", "; ".join(wrong)) from None
    try:
        ensure_lost_run_automation(PrefectApi.of(prefect_api_url))
    except httpx.HTTPError as error:
        err.print(f"Prefect at {prefect_api_url} does not answer ({error!r}); the API starts anyway", markup=False)
    arguments = [sys.executable, "-P", "-m", "headrace.api.server", "--host", host, "--port", str(port)]
    sys.stdout.flush()
    # Replaced by a new interpreter: its import path is safe, and a SIGTERM reaches the server directly.
    environment = {**os.environ, "PREFECT_API_URL": prefect_api_url, "PYTHONSAFEPATH": "1"}
    os.execve(sys.executable, arguments, environment)  # noqa: S606


def worker(
    pool: Annotated[str, typer.Option(envvar="HEADRACE_WORK_POOL", help="The Prefect work pool to serve.")] = WORK_POOL,
    name: Annotated[str | None, typer.Option(help="The worker's name in Prefect's UI.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many runs at a time.")] = None,
) -> None:
    """Run a worker: it takes runs of its pool and starts each in a forked process.

    Reads HEADRACE_DATABASE_URL, HEADRACE_ENCRYPTION_KEYS, HEADRACE_FILES_ROOT and
    HEADRACE_PREFECT_API_URL (or PREFECT_API_URL), as `headrace up` sets them for its own worker, and
    PREFECT_API_AUTH_STRING if that Prefect requires one.
    """
    require("worker", "`headrace worker`")
    environment = dict(os.environ)
    prefect_api_url = environment.get("PREFECT_API_URL") or environment.get("HEADRACE_PREFECT_API_URL")
    if not prefect_api_url:
        fail("No Prefect to ask for runs.", "Set HEADRACE_PREFECT_API_URL, for example http://127.0.0.1:4200/api.")
    environment |= {"PREFECT_API_URL": prefect_api_url, "PYTHONSAFEPATH": "1"}
    arguments = [sys.executable, "-P", "-m", "headrace.deployments.worker", "--pool", pool]
    arguments += ["--name", name] if name is not None else []
    arguments += ["--limit", str(limit)] if limit is not None else []
    sys.stdout.flush()
    # Replaced by a new interpreter: its import path is safe, and only what a run needs is imported.
    os.execve(sys.executable, arguments, environment)  # noqa: S606
