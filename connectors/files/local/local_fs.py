"""The connector `local_fs`: files in a tenant's folder on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from headrace.connectors.connector import Connector, Context, DatasetName
from headrace.connectors.files.config_checks import file_problems
from headrace.connectors.files.connection_test import found_files
from headrace.connectors.files.discovery import file_stream, file_streams
from headrace.connectors.files.formats import FileFormat
from headrace.connectors.files.local.local_store import LocalStore
from headrace.connectors.files.paths import FilesRoot
from headrace.connectors.files.settings import FileSettings
from headrace.connectors.files.source import FileSource
from headrace.ir.schema import Schema


def local_files(
    config: Mapping[str, Any],
    *,
    fields: Schema = (),
    files_root: FilesRoot,
    connection: Mapping[str, Any] | None = None,
    formats: Mapping[str, FileFormat] | None = None,
    scratch: Path | None = None,
) -> FileSource:
    """The source of a `local_fs` node. `connection` is the connector record's config; its `basePath` is a folder under
    `files_root`."""
    base = str((connection or {}).get("basePath") or "")
    return FileSource(
        "local_fs", config, LocalStore(files_root), base=base, fields=fields, formats=formats, scratch=scratch
    )


def _open(context: Context) -> FileSource:
    return local_files(
        context.settings,
        fields=context.fields,
        files_root=context.surroundings.files_root,
        connection=context.connection.config,
        scratch=context.surroundings.scratch,
    )


def _dataset(context: Context) -> DatasetName:
    from openlineage.client.naming.dataset import LocalFileSystem

    pattern: Any = context.settings.get("pattern") or {}
    value = str(pattern.get("value") or "") if isinstance(pattern, dict) else str(pattern)
    texts = (context.connection.config.get("basePath"), context.settings.get("path"), value)
    # Paths out of the tenant's folder are never read, and must not look like another tenant's dataset.
    within = (part for text in texts for part in PurePosixPath(str(text or "")).parts)
    inside = [part for part in within if part not in ("..", "/", "//")]
    place = LocalFileSystem(str(context.surroundings.files_root.absolute().joinpath(*inside)))
    return DatasetName(place.get_namespace(), place.get_name())


LOCAL_FS = Connector(
    "local_fs",
    ("local_fs",),
    check=lambda context: found_files(_open(context), context.connection.config.get("basePath") or "the files folder"),
    open=_open,
    settings=FileSettings,
    problems=file_problems,
    dataset=_dataset,
    streams=file_streams(_open),
    stream=file_stream(_open),
    files=True,
    any_type=True,
)
