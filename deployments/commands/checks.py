"""What `headrace doctor` looks at: each check tells what it found and, where something is amiss, how to mend it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Literal

import httpx

from deployments.stack.layout import WORK_POOL, Layout
from deployments.stack.lock import holder
from deployments.stack.state import StackState

Verdict = Literal["ok", "warning", "failed"]

_TIMEOUT_S = 5.0
_LOW_DISK = 2 * 1024**3
_OLDEST_POSTGRES = 140000
_IMPORTANT = ("prefect", "fastapi", "polars", "sqlalchemy", "psycopg", "pydantic")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    verdict: Verdict
    found: str
    mend: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The shape of `--json`."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """What is to be looked at; None where nobody says."""

    data_dir: Path
    api_url: str | None
    api_key: str | None
    database_url: str | None
    prefect_api_url: str | None
    files_root: Path | None
    staging_url: str
    work_pool: str


def whereabouts(url: str | None, api_key: str | None, data_dir: Path) -> Whereabouts:
    """What is given, then the environment, then the stack on the folder."""
    state = StackState.read(Layout.of(data_dir).state)
    environment = os.environ
    files = environment.get("HEADRACE_FILES_ROOT")
    remote = url is not None and (state is None or not state.api_url.startswith(url.rstrip("/")))
    local = None if remote else state
    return Whereabouts(
        data_dir=Layout.of(data_dir).root,
        api_url=url or (local.api_url if local else None),
        api_key=api_key or (local.api_key if local else None),
        database_url=environment.get("HEADRACE_DATABASE_URL") or (local.database_url if local else None),
        prefect_api_url=environment.get("HEADRACE_PREFECT_API_URL") or (local.prefect_api_url if local else None),
        files_root=Path(files) if files else (local.files_root if local else None),
        staging_url=environment.get("HEADRACE_STAGING_URL", ""),
        work_pool=environment.get("HEADRACE_WORK_POOL", WORK_POOL),
    )


def all_findings(where: Whereabouts) -> Iterator[Finding]:
    """Every check, in the order in which one would mend things."""
    yield from versions()
    yield from folder(where)
    yield from database(where.database_url)
    yield from prefect(where.prefect_api_url, where.work_pool)
    yield from api(where.api_url, where.api_key)
    yield from files(where.files_root)
    yield from staging(where.staging_url, where.files_root)


def versions() -> Iterator[Finding]:
    """Python, and whether what is installed is what this release was made for."""
    yield Finding("python", "ok", ".".join(map(str, sys.version_info[:3])))
    from packaging.requirements import Requirement

    try:
        needed = [Requirement(text) for text in requires("headrace") or ()]
    except PackageNotFoundError:
        yield Finding("packages", "warning", "headrace runs from a checkout", "`make setup` installs what is pinned.")
        return
    wrong: list[str] = []
    shown: list[str] = []
    for each in needed:
        if each.marker is not None and not each.marker.evaluate({"extra": ""}):
            continue  # of an extra: whoever uses one is told by it what to install
        try:
            installed = version(each.name)
        except PackageNotFoundError:
            wrong.append(f"{each.name} is missing")
            continue
        if each.name in _IMPORTANT:
            shown.append(f"{each.name} {installed}")
        if not each.specifier.contains(installed, prereleases=True):
            wrong.append(f"{each.name} {installed} is not {each.specifier}")
    if wrong:
        yield Finding("packages", "failed", "; ".join(wrong), "`make setup`, or pip install -r requirements.lock.")
    else:
        yield Finding("packages", "ok", ", ".join(shown))


def folder(where: Whereabouts) -> Iterator[Finding]:
    """The data folder and whether a stack runs on it."""
    layout = Layout.of(where.data_dir)
    if not layout.root.exists():
        yield Finding("data folder", "warning", f"{layout.root} is not there", "`headrace up` makes it.")
        return
    if not os.access(layout.root, os.W_OK):
        yield Finding("data folder", "failed", f"{layout.root} cannot be written", "Give it to this user (chown).")
    free = shutil.disk_usage(layout.root).free
    space = f"{layout.root}, {free / 1024**3:,.1f} GiB free"
    if free < _LOW_DISK:
        yield Finding("data folder", "warning", space, "Make room: loads write the rows, and PostgreSQL its log.")
    else:
        yield Finding("data folder", "ok", space)
    pid = holder(layout.lock)
    if pid is None:
        yield Finding("stack", "warning", "no stack runs on it", "`headrace up` starts one.")
    else:
        yield Finding("stack", "ok", f"process {pid}")


def database(url: str | None) -> Iterator[Finding]:
    """PostgreSQL: there, new enough, migrated, and its user may do what is needed."""
    if url is None:
        mend = "Set HEADRACE_DATABASE_URL, or start a stack; from afar only the API can be looked at."
        yield Finding("database", "warning", "nobody says where it is", mend)
        return
    import psycopg
    from sqlalchemy.exc import SQLAlchemyError

    from catalog.engine import current, head

    try:
        with psycopg.connect(url, connect_timeout=int(_TIMEOUT_S)) as connection:
            facts = connection.execute(_FACTS).fetchone()
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[0]
        yield Finding("database", "failed", reason, "Check HEADRACE_DATABASE_URL, and that PostgreSQL runs.")
        return
    assert facts is not None, "a query without FROM has one row"
    number, name, user, tables, schemas, recovering, taken, most = facts
    if recovering:
        yield Finding("database", "failed", "it is a read-only replica", "Give the URL of the primary.")
    elif number < _OLDEST_POSTGRES:
        yield Finding("database", "failed", f"PostgreSQL {name}", "Use PostgreSQL 14 or newer.")
    else:
        yield Finding("database", "ok", f"PostgreSQL {name}, {taken} of {most} connections taken")
    if tables and schemas:
        yield Finding("permissions", "ok", f"{user} may create schemas, and tables in public")
    else:
        grants = ["GRANT CREATE ON SCHEMA public"] * (not tables) + ["GRANT CREATE ON DATABASE …"] * (not schemas)
        yield Finding("permissions", "failed", f"{user} may not create all it has to", f"{'; '.join(grants)} TO {user}")
    try:
        stands = current(url)
    except SQLAlchemyError as error:
        yield Finding("migrations", "failed", str(error.__cause__ or error).splitlines()[0], "See permissions.")
        return
    if stands == head():
        yield Finding("migrations", "ok", str(stands))
    else:
        yield Finding("migrations", "failed", f"at {stands}, not {head()}", "`headrace db upgrade`.")


def prefect(api_url: str | None, pool: str) -> Iterator[Finding]:
    """Prefect's server, and whether somebody serves the pool that runs wait in."""
    if api_url is None:
        mend = "Set HEADRACE_PREFECT_API_URL, or start a stack."
        yield Finding("prefect", "warning", "nobody says where it is", mend)
        return
    try:
        with httpx.Client(base_url=api_url, timeout=_TIMEOUT_S) as client:
            client.get("/ready").raise_for_status()
            theirs = client.get("/admin/version").raise_for_status().json()
            found = client.get(f"/work_pools/{pool}")
            workers = client.post(f"/work_pools/{pool}/workers/filter", json={}) if found.is_success else None
    except (httpx.HTTPError, ValueError) as error:
        mend = "Start it (`headrace up`), or check HEADRACE_PREFECT_API_URL; it ends in /api."
        yield Finding("prefect", "failed", f"{api_url} does not answer ({type(error).__name__})", mend)
        return
    ours = version("prefect")
    if theirs.split(".")[:2] == ours.split(".")[:2]:
        yield Finding("prefect", "ok", f"server {theirs}, client {ours}")
    else:
        mend = "Run the server and Headrace on the same minor version."
        yield Finding("prefect", "failed", f"server {theirs}, client {ours}", mend)
    if workers is None:
        yield Finding("worker", "failed", f"there is no work pool '{pool}'", "`headrace worker` makes and serves it.")
        return
    if found.json()["is_paused"]:
        yield Finding("worker", "failed", f"the work pool '{pool}' is paused", f"prefect work-pool resume {pool}")
    online = [each["name"] for each in workers.json() if each["status"] == "ONLINE"]
    if online:
        yield Finding("worker", "ok", f"{', '.join(online)} on pool {pool}")
    else:
        yield Finding("worker", "failed", f"nobody serves the pool '{pool}'", "`headrace worker`, or `headrace up`.")


def api(url: str | None, key: str | None) -> Iterator[Finding]:
    """The facade: answers, is ready, takes the key."""
    if url is None:
        mend = "Give --url and --api-key, or start a stack."
        yield Finding("api", "failed", "nobody says where it is", mend)
        return
    base = url.rstrip("/").removesuffix("/api/v1")
    try:
        with httpx.Client(base_url=base, timeout=_TIMEOUT_S, headers={"X-API-Key": key} if key else {}) as client:
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
        yield Finding("api", "failed", _reasons(ready), "See what is said of the database and of Prefect.")
    if key is None:
        yield Finding("key", "warning", "none is given", "--api-key or HEADRACE_API_KEY.")
    elif seen.status_code == 401:
        yield Finding("key", "failed", "it is not valid here", "`headrace keys create` makes one.")
    elif not seen.is_success:
        yield Finding("key", "failed", _reasons(seen), "The facade's log may say why.")
    else:
        yield Finding("key", "ok", "of an admin" if admin.is_success else "of an editor or viewer")


def files(root: Path | None) -> Iterator[Finding]:
    """The folder that file sources read."""
    if root is None:
        return
    if not root.is_dir():
        yield Finding("files folder", "failed", f"{root} is not a folder", "Make it, or set HEADRACE_FILES_ROOT.")
    elif not os.access(root, os.R_OK | os.X_OK):
        yield Finding("files folder", "failed", f"{root} cannot be read", "Let the worker's user read it.")
    else:
        yield Finding("files folder", "ok", str(root))


def staging(url: str, files_root: Path | None) -> Iterator[Finding]:
    """Where rows between stages are kept: a folder, or an object store that is written, read and listed."""
    if not url and files_root is None:
        return
    from catalog.settings import staging_root
    from flows.runtime.staging.place import StagingFailed
    from flows.runtime.staging_files import probe

    try:
        root = staging_root(url, files_root or Path())
        probe(root)
    except ValueError as error:
        yield Finding("staging", "failed", "HEADRACE_STAGING_URL cannot be used", f"{error}.")
    except StagingFailed as error:
        yield Finding("staging", "failed", f"{root}: {error.reason}", f"{error.mend}.")
    else:
        yield Finding("staging", "ok", str(root))


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


_FACTS = """
    SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_user::text,
           has_schema_privilege('public', 'CREATE'),
           has_database_privilege(current_database(), 'CREATE'),
           pg_is_in_recovery(),
           (SELECT count(*) FROM pg_stat_activity), current_setting('max_connections')::int
"""
