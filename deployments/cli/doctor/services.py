"""Checks of the servers: Prefect with a worker on the work pool, and the API with the key."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import httpx

from headrace.deployments.cli.doctor.finding import TIMEOUT_S, Finding
from headrace.deployments.prefect.api import AUTH_HINT, NotAuthorized, PrefectApi


def prefect(where: PrefectApi | None, pool: str) -> Iterator[Finding]:
    """Prefect's server, and whether a worker serves the work pool."""
    if where is None:
        remedy = "Set HEADRACE_PREFECT_API_URL, or start a stack."
        yield Finding("prefect", "warning", "its address is not known", remedy)
        return
    try:
        with where.client(TIMEOUT_S) as client:
            client.get("/ready").raise_for_status()
            theirs = where.let_in(client.get("/admin/version")).raise_for_status().json()
            found = client.get(f"/work_pools/{pool}")
            workers = client.post(f"/work_pools/{pool}/workers/filter", json={}) if found.is_success else None
    except NotAuthorized:
        yield Finding("prefect", "failed", f"{where.url} rejects our credentials", AUTH_HINT)
        return
    except (httpx.HTTPError, ValueError) as error:
        remedy = "Start it (`headrace up`), or check HEADRACE_PREFECT_API_URL; it ends in /api."
        yield Finding("prefect", "failed", f"{where.url} does not answer ({type(error).__name__})", remedy)
        return
    try:
        ours = version("prefect")
    except PackageNotFoundError:  # not installed here, so nothing to compare
        ours = theirs
    if theirs.split(".")[:2] == ours.split(".")[:2]:
        yield Finding("prefect", "ok", f"server {theirs}, client {ours}")
    else:
        remedy = "Run the server and Headrace on the same minor version."
        yield Finding("prefect", "failed", f"server {theirs}, client {ours}", remedy)
    if workers is None:
        yield Finding("worker", "failed", f"there is no work pool '{pool}'", "`headrace worker` makes and serves it.")
        return
    if found.json()["is_paused"]:
        yield Finding("worker", "failed", f"the work pool '{pool}' is paused", f"prefect work-pool resume {pool}")
    online = [each["name"] for each in workers.json() if each["status"] == "ONLINE"]
    if online:
        yield Finding("worker", "ok", f"{', '.join(online)} on pool {pool}")
    else:
        yield Finding("worker", "failed", f"no worker serves the pool '{pool}'", "`headrace worker`, or `headrace up`.")


def api(url: str | None, key: str | None) -> Iterator[Finding]:
    """The API: answers, is ready, accepts the key."""
    if url is None:
        remedy = "Give --url and --api-key, or start a stack."
        yield Finding("api", "failed", "its address is not known", remedy)
        return
    base = url.rstrip("/").removesuffix("/api/v1")
    try:
        with httpx.Client(base_url=base, timeout=TIMEOUT_S, headers={"X-API-Key": key} if key else {}) as client:
            ready = client.get("/readyz")
            seen = client.get("/api/v1/pipelines", params={"limit": 1})
            admin = client.get("/api/v1/api-keys", params={"limit": 1})
    except httpx.HTTPError as error:
        yield Finding("api", "failed", f"{base} does not answer ({type(error).__name__})", "`headrace up`, or --url.")
        return
    if ready.is_success:
        skew = _skew(ready.headers.get("Date"))
        yield Finding("api", "ok", f"{base} is ready{skew}")
    else:
        yield Finding("api", "failed", _reasons(ready), "See the checks of the database and of Prefect.")
    if key is None:
        yield Finding("key", "warning", "none is given", "--api-key or HEADRACE_API_KEY.")
    elif seen.status_code == 401:
        yield Finding("key", "failed", "it is not valid here", "`headrace keys create` makes one.")
    elif not seen.is_success:
        yield Finding("key", "failed", _reasons(seen), "The facade's log may say why.")
    else:
        yield Finding("key", "ok", "of an admin" if admin.is_success else "of an editor or viewer")


def _reasons(response: httpx.Response) -> str:
    try:
        said = response.json()["error"]
        return "; ".join([each["message"] for each in said["details"]] or [said["message"]])
    except (ValueError, KeyError, TypeError):
        return f"it answered {response.status_code}"


def _skew(date: str | None) -> str:
    from email.utils import parsedate_to_datetime

    if date is None:
        return ""
    seconds = abs((parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds())
    return f" (its clock is {seconds:.0f} s off)" if seconds > 5 else ""
