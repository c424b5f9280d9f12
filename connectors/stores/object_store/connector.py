"""Shared by the connectors of all object stores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from headrace.connectors.connector import Connector, Context, DatasetName, Found
from headrace.connectors.files.config_checks import file_problems
from headrace.connectors.files.connection_test import found_files
from headrace.connectors.files.discovery import file_stream, file_streams
from headrace.connectors.files.settings import FileSettings
from headrace.connectors.files.source import FileSource
from headrace.connectors.stores.object_store.bucket import Bucket
from headrace.connectors.stores.object_store.objects import ObjectFiles
from headrace.connectors.stores.remote import pattern_name


def bucket_connector(
    name: str, type_name: str, bucket_of: Callable[[Context], Bucket], namespace_of: Callable[[Mapping[str, Any]], str]
) -> Connector:
    """The connector `name` for files in buckets. `bucket_of` connects to the bucket of a context and raises
    SourceError; `namespace_of` gives the namespace of its datasets in lineage from the connection's config."""

    def open_source(context: Context) -> FileSource:
        scratch = context.surroundings.scratch
        files = ObjectFiles(bucket_of(context), scratch)
        return FileSource(name, context.settings, files, fields=context.fields, scratch=scratch)

    def check(context: Context) -> Found:
        bucket = bucket_of(context)
        return found_files(FileSource(name, {}, ObjectFiles(bucket, context.surroundings.scratch)), bucket.place)

    def dataset(context: Context) -> DatasetName:
        config = context.connection.config
        return DatasetName(namespace_of(config), pattern_name(context.settings, config.get("prefix")) or "/")

    return Connector(
        name,
        (type_name,),
        check=check,
        open=open_source,
        settings=FileSettings,
        problems=file_problems,
        dataset=dataset,
        streams=file_streams(open_source),
        stream=file_stream(open_source),
        files=True,
    )
