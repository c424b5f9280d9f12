"""Checks of the folders of file sources, and of the place for rows between stages."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from headrace.catalog.files_roots import DEFAULT_TENANT, overlaps
from headrace.deployments.cli.doctor.finding import TIMEOUT_S, Finding
from headrace.deployments.extras import missing


def files(root: Path | None, database_url: str | None = None) -> Iterator[Finding]:
    """The folders of file sources: of the tenant `default`, and of other tenants with connectors of local files."""
    if root is None:
        return
    from headrace.deployments.errors import HeadraceError
    from headrace.deployments.stack.tenant_folders import roots_of

    try:
        roots = roots_of(root)
    except HeadraceError as error:
        yield Finding("files folder", "failed", error.message, error.hint)
        return
    yield _folder_of_files(root, str(root), "Make it, or set HEADRACE_FILES_ROOT.")
    others = {tenant: many for tenant, many in _file_connectors(database_url) if tenant != DEFAULT_TENANT}
    for tenant, many in others.items():
        place = roots.of(tenant)
        has = f"tenant '{tenant}' has {many} connector{'s' * (many > 1)} of local files"
        remedy = f"mkdir -p -m 700 {place}, and move its files there from {root}: docs/operations.md, Tenants' files."
        if place.is_dir() and os.access(place, os.R_OK | os.X_OK) and not any(place.iterdir()):
            yield Finding("files folder", "warning", f"{has}, and {place} is empty", remedy)
        else:
            yield _folder_of_files(place, f"{has}: {place}", remedy)
    folders = {f"that of '{tenant}'": roots.of(tenant) for tenant in [DEFAULT_TENANT, *others]}
    for problem in overlaps(folders):
        yield Finding(
            "files folder",
            "failed",
            problem,
            "Give each tenant a folder of its own; links must not lead to the same one.",
        )


def _folder_of_files(place: Path, label: str, make: str) -> Finding:
    if not place.is_dir():
        return Finding("files folder", "failed", f"{label} is not a folder", make)
    if not os.access(place, os.R_OK | os.X_OK):
        return Finding("files folder", "failed", f"{label} cannot be read", "Let the worker's user read it.")
    if place.stat().st_mode & 0o077:
        remedy = f"chmod 700 {place}, unless other users of this machine are to use it."
        return Finding("files folder", "warning", f"{label} is open to other users", remedy)
    return Finding("files folder", "ok", label)


def _file_connectors(database_url: str | None) -> list[tuple[str, int]]:
    """The number of local file connectors by tenant; empty when the database cannot be queried."""
    if database_url is None or missing("engine"):
        return []
    import psycopg

    query = "SELECT tenant_id, count(*) FROM headrace.connectors WHERE type = 'local_fs' GROUP BY 1 ORDER BY 1"
    try:
        with psycopg.connect(database_url, connect_timeout=int(TIMEOUT_S)) as connection:
            return connection.execute(query).fetchall()
    except psycopg.Error:  # reported by the check of the database
        return []


def staging(url: str, files_root: Path | None) -> Iterator[Finding]:
    """The place of rows between stages: a folder, or an object store, which is written, read and listed."""
    if (not url and files_root is None) or missing("engine"):
        return
    from headrace.catalog.settings import staging_root
    from headrace.flows.runtime.staging.files import probe
    from headrace.flows.runtime.staging.storage import StagingFailed

    try:
        root = staging_root(url, files_root or Path())
        probe(root)
    except ValueError as error:
        yield Finding("staging", "failed", "HEADRACE_STAGING_URL cannot be used", f"{error}.")
    except StagingFailed as error:
        yield Finding("staging", "failed", f"{root}: {error.reason}", f"{error.remedy}.")
    else:
        yield Finding("staging", "ok", str(root))
