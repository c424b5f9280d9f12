"""`prefect server` with access control, and without work that Prefect repeats unnecessarily.

    python -P -m headrace.deployments.stack.prefect_server start [options of `prefect server start`]

It requires PREFECT_SERVER_API_AUTH_STRING: whoever can create a deployment can have code executed by a worker.
`prefect_guard` checks hosts and origins, `prefect_sign_in` signs the owner's browser in.

Prefect's server is one process on one core, so its CPU limits how fast pipelines are registered and runs start. Nearly
half of a registration is work with the same result each time, which `prefect_statements` avoids.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import re
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from headrace.deployments.stack.prefect_guard import AllowedClients, Guard
from headrace.deployments.stack.prefect_sign_in import SignIn

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_YOUNGEST_GENERATION = 10_000
"""The threshold of the youngest generation of the garbage collector; one query exceeds Python's default of 700."""
_MAX_SCHEMAS = 1_000
_AUTH = "PREFECT_SERVER_API_AUTH_STRING"
_CORS = ("PREFECT_SERVER_CORS_ALLOWED_ORIGINS", "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS")
_SINGLE_VALUE_ENUM = re.compile(r'"enum": \["(?:[^"\\]|\\.)*"\]')
"""In a schema's JSON: the id of the pipeline or tenant, which differs in each schema and does not affect validity."""


def main() -> None:
    """Runs `prefect server` with this process's arguments; returns when the server has stopped."""
    neighbours = allow_own_pages_only(os.environ)
    gc.disable()
    import prefect.cli.server
    import prefect.server.api.server  # noqa: F401
    import uvicorn
    from prefect.cli import app

    from headrace.deployments.stack.prefect_patches import patch_prefect

    uvicorn.run = functools.partial(serve, uvicorn.run, neighbours)
    remember_schemas()
    patch_prefect()
    # Half a million imported objects live as long as the server. A garbage collection that visits them stops every
    # request for 0.1 s or more, and the objects of requests trigger it often.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNGEST_GENERATION, 10, 10)
    gc.enable()
    sys.argv.insert(1, "server")
    app()


def allow_own_pages_only(environment: MutableMapping[str, str]) -> AllowedClients:
    """Sets Prefect's CORS to its own UI; returns the allowed hosts and origins. Exits without an auth string."""
    if not environment.get(_AUTH):
        sys.exit(f"Prefect's server requires {_AUTH} (user:password), which its callers have to send.")
    more = environment.get("HEADRACE_PREFECT_HOSTS", "")
    neighbours = AllowedClients.of(_ui_api_url(environment), more.split(","))
    if not any(name in environment for name in _CORS):
        environment[_CORS[0]] = ",".join(sorted(neighbours.origins))
    return neighbours


def serve(run: Callable[..., None], neighbours: AllowedClients, app: ASGIApp, **options: Any) -> None:
    """`uvicorn.run` with Prefect's application wrapped in sign-in and guard."""
    if isinstance(app, str):
        sys.exit("Prefect's server runs in one process here: leave --workers out.")
    ui = _ui_api_url(os.environ)
    sign_in = SignIn(app, os.environ[_AUTH], ui.removesuffix("/api") if ui else None)
    run(Guard(sign_in, neighbours), **options)


def _ui_api_url(environment: Mapping[str, str]) -> str | None:
    """The URL of the API for the UI."""
    named = ("PREFECT_SERVER_UI_API_URL", "PREFECT_UI_API_URL", "PREFECT_API_URL")
    return next(filter(None, (environment.get(name) for name in named)), None)


def remember_schemas() -> None:
    """Caches jsonschema's check of schemas. Prefect checks the schema of a deployment's parameters twice in each
    registration and once for each requested run, 7 ms each time."""
    from jsonschema import Draft202012Validator

    check, good = Draft202012Validator.check_schema, set[str]()

    def check_schema(schema: Any, *given: Any, **named: Any) -> None:
        shape = _SINGLE_VALUE_ENUM.sub('"enum": [""]', json.dumps(schema, default=repr))
        if shape in good:
            return
        check(schema, *given, **named)
        if len(good) < _MAX_SCHEMAS:
            good.add(shape)

    Draft202012Validator.check_schema = check_schema


if __name__ == "__main__":
    main()
