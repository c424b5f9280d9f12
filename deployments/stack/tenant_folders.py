"""The folders of the tenants' files: where they are by the stack's settings, and their creation."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from headrace.catalog.files_roots import DEFAULT_TENANT, FilesRoots
from headrace.deployments.errors import HeadraceError


def roots_of(files_root: Path) -> FilesRoots:
    """The tenants' folders by the files folder and HEADRACE_FILES_ROOTS. Raises StackError."""
    text = os.environ.get("HEADRACE_FILES_ROOTS") or "{}"
    try:
        given = {str(tenant): Path(folder) for tenant, folder in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError):
        example = '{"shop": "/srv/shop"}'
        message = "HEADRACE_FILES_ROOTS is not a JSON object of folders."
        raise HeadraceError(message, f"For example {example}.") from None
    roots = FilesRoots(files_root, given)
    for problem in roots.problems():
        raise HeadraceError(f"The folders of the tenants' files cannot be used: {problem}.", "Give each its own place.")
    return roots


def make_folders(roots: FilesRoots, tenants: Iterable[str]) -> None:
    """Creates the tenants' folders next to the files folder, with mode 0700. Folders configured by the operator are not
    created."""
    for tenant in tenants:
        if tenant != DEFAULT_TENANT and tenant not in roots.given:
            roots.others.mkdir(mode=0o700, parents=True, exist_ok=True)
            roots.of(tenant).mkdir(mode=0o700, exist_ok=True)


def all_tenants(database_url: str) -> list[str]:
    """All tenants of the catalog, by id. Raises psycopg.Error."""
    import psycopg

    with psycopg.connect(database_url, connect_timeout=10) as connection:
        return [tenant for (tenant,) in connection.execute("SELECT id FROM headrace.tenants ORDER BY id")]
