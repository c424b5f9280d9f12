"""The environment of the stack's processes: our settings, none of the user's Prefect profile, our packages first."""

from __future__ import annotations

import importlib.util
import os
import site
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict

_EVENT_RETENTION = "P3D"
_RUN_RETENTION_SECONDS = 30 * 24 * 3600


def base_environment() -> dict[str, str]:
    """What every part inherits: the user's environment without anything that would steer Prefect or shadow us."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    kept["PYTHONSAFEPATH"] = "1"
    kept["PYTHONUNBUFFERED"] = "1"
    kept["DO_NOT_TRACK"] = "1"
    if importlib.util.find_spec("tzdata") is not None:
        # Prefect lists all time zones whenever it looks at a cron schedule: from files that is 10 ms, from the package
        # less than one, and there are several looks in each registration.
        kept.setdefault("PYTHONTZPATH", "")
    kept["PYTHONPATH"] = os.pathsep.join(_python_path(kept.get("PYTHONPATH", "")))
    if not kept["PYTHONPATH"]:
        del kept["PYTHONPATH"]
    return kept


def prefect_client_environment(home: Path, api_url: str) -> dict[str, str]:
    """For processes that talk to the stack's Prefect."""
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": api_url,
        "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
        # A run whose process vanished is noticed by the heartbeats it stops sending; 30 s is the shortest.
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    }


def prefect_server_environment(home: Path, api_url: str, database_url: str) -> dict[str, str]:
    """For Prefect's server: on PostgreSQL, telling nobody, and not keeping everything for ever."""
    return {
        **prefect_client_environment(home, api_url),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": asyncpg_url(database_url),
        # As many as ever, but kept: Prefect would hold five and open and close ten, and a new connection asks for types
        # and prepares every statement anew.
        "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE": "15",
        "PREFECT_SERVER_DATABASE_SQLALCHEMY_MAX_OVERFLOW": "0",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_API_URL": api_url,
        # A run that waits for the one before it (one per pipeline) looks again this often; 30 s unless told.
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "3",
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": _EVENT_RETENTION,
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "true",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(_RUN_RETENTION_SECONDS),
    }


def headrace_environment(settings: Mapping[str, object]) -> dict[str, str]:
    """`HEADRACE_*` variables of the catalog's settings, by field name."""
    return {f"HEADRACE_{name.upper()}": str(value) for name, value in settings.items()}


def asyncpg_url(libpq_url: str) -> str:
    """SQLAlchemy's asyncpg URL for a libpq URL (Unix sockets and TLS included).

    SQLAlchemy 2.0 takes the database's name as it stands, so that it cannot hold a question mark.
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
    """PYTHONPATH for the parts: where we are imported from, unless that is an installed place, then absolute entries.

    Relative entries would mean the user's current folder, and a `flows/` in it.
    """
    ours = str(Path(__file__).resolve().parents[2])
    installed = {*site.getsitepackages(), site.getusersitepackages(), sysconfig.get_path("purelib")}
    entries = [] if ours in {str(Path(each).resolve()) for each in installed} else [ours]
    entries += [each for each in inherited.split(os.pathsep) if each and Path(each).is_absolute() and each != ours]
    return entries
