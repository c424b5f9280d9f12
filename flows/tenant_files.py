"""The files folder of a tenant. All code that opens a tenant's files must get the folder from here."""

from __future__ import annotations

from headrace.catalog.settings import Settings
from headrace.connectors.files.paths import FilesRoot


def files_of(settings: Settings, tenant_id: str) -> FilesRoot:
    """The files folder of a tenant. Paths in its documents and connectors are relative to the folder and cannot leave
    it."""
    return FilesRoot(settings.roots.of(tenant_id))
