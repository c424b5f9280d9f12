"""The environments of the stack's processes: Headrace's settings, without the user's Prefect settings."""

from __future__ import annotations

import importlib.util
import os
import site
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict

from headrace.deployments.prefect.api import PrefectApi
from headrace.deployments.stack.layout import WORK_POOL

_EVENT_RETENTION = "P3D"
_RUN_RETENTION_SECONDS = 30 * 24 * 3600


def base_environment() -> dict[str, str]:
    """The environment of every component: the user's, without Prefect's variables and unsafe import paths."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    kept["PYTHONSAFEPATH"] = "1"
    kept["PYTHONUNBUFFERED"] = "1"
    kept["DO_NOT_TRACK"] = "1"
    if importlib.util.find_spec("tzdata") is not None:
        # Time zones from the package, not the machine's: listing them is ten times faster.
        kept.setdefault("PYTHONTZPATH", "")
    kept["PYTHONPATH"] = os.pathsep.join(_python_path(kept.get("PYTHONPATH", "")))
    if not kept["PYTHONPATH"]:
        del kept["PYTHONPATH"]
    return kept


_NOT_USED = {
    "HEADRACE_PREFECT_API_URL": "the stack starts a Prefect server of its own",
    "HEADRACE_WORK_POOL": f"the pool of the stack is '{WORK_POOL}'",
    "HEADRACE_KEY_PEPPER": "the stack keeps its own in its data folder",
    "HEADRACE_HOST": "give --host",
    "HEADRACE_PORT": "give --port",
}


def ignored_settings(environment: Mapping[str, str]) -> list[str]:
    """A sentence about each environment variable that is set and that a stack does not use; without values."""
    ours = [f"{name} is not used: {why}." for name, why in _NOT_USED.items() if environment.get(name)]
    prefects = sorted(name for name in environment if name.startswith("PREFECT") and environment[name])
    return ours + [f"{name} is not used: the stack's Prefect has settings of its own." for name in prefects]


def without_headrace_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """For Prefect's server: without Headrace's settings (some are secrets), except the one that it reads."""
    return {
        name: value
        for name, value in environment.items()
        if name == "HEADRACE_PREFECT_HOSTS" or not name.startswith("HEADRACE")
    }


def prefect_client_environment(home: Path, prefect: PrefectApi) -> dict[str, str]:
    """For clients of the stack's Prefect."""
    return {
        "PREFECT_HOME": str(home),
        **prefect.environment,
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        # A dead run is detected by missing heartbeats; 30 s is the shortest interval.
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    }


def prefect_server_environment(home: Path, prefect: PrefectApi, database_url: str) -> dict[str, str]:
    """For Prefect's server: on PostgreSQL, without telemetry, with limited retention."""
    return {
        **prefect_client_environment(home, prefect),
        **({"PREFECT_SERVER_API_AUTH_STRING": prefect.auth_string} if prefect.auth_string else {}),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": asyncpg_url(database_url),
        # The same maximum, but kept open: Prefect would keep five and reopen ten, and a new connection queries types
        # and prepares every statement again.
        "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE": "15",
        "PREFECT_SERVER_DATABASE_SQLALCHEMY_MAX_OVERFLOW": "0",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_API_URL": prefect.url,
        # How often a run that waits for the previous one of its pipeline checks again; the default is 30 s.
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "3",
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": _EVENT_RETENTION,
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "true",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(_RUN_RETENTION_SECONDS),
    }


def headrace_environment(settings: Mapping[str, object]) -> dict[str, str]:
    """Settings of the catalog by field name, as `HEADRACE_*` variables."""
    return {f"HEADRACE_{name.upper()}": str(value) for name, value in settings.items()}


def asyncpg_url(libpq_url: str) -> str:
    """Converts a libpq URL to SQLAlchemy's asyncpg URL, including Unix sockets and TLS.

    SQLAlchemy 2.0 does not decode the database name, so it cannot contain a question mark.
    """
    parts = {name: str(value) for name, value in conninfo_to_dict(libpq_url).items() if value is not None}
    host, port = parts.get("host", "localhost"), parts.get("port")
    credentials = quote(parts.get("user", "postgres"), safe="")
    if "password" in parts:
        credentials += ":" + quote(parts["password"], safe="")
    query: dict[str, str] = {}
    if host.startswith("/"):
        query["host"] = host
        place = f":{port}" if port else ""
    else:
        place = (f"[{host}]" if ":" in host else host) + (f":{port}" if port else "")
    if parts.get("sslmode") not in (None, "disable"):
        query["ssl"] = parts["sslmode"]
    suffix = f"?{urlencode(query, safe='/')}" if query else ""
    return f"postgresql+asyncpg://{credentials}@{place}/{parts.get('dbname', 'postgres')}{suffix}"


def _python_path(inherited: str) -> list[str]:
    """PYTHONPATH of the components: the checkout, unless Headrace is installed, then the inherited absolute entries.

    Relative entries are dropped: a `flows/` in the user's current folder must not be imported.
    """
    ours = str(Path(__file__).parents[3].resolve())
    installed = {*site.getsitepackages(), site.getusersitepackages(), sysconfig.get_path("purelib")}
    entries = [] if ours in {str(Path(each).resolve()) for each in installed} else [ours]
    entries += [each for each in inherited.split(os.pathsep) if each and Path(each).is_absolute() and each != ours]
    return entries
