"""Reads blocks from Prefect's API, before each use, so that a changed value applies to the next run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound

from headrace.catalog.runs.records import ConnectorRecord, RunPipeline
from headrace.catalog.settings import settings
from headrace.connectors.errors import SourceError
from headrace.flows.prefect.block_references import BlockReference, references, resolved
from headrace.flows.runtime.job import Job


def with_blocks(job: Job) -> Job:
    """The job with references in its connectors' credentials replaced by block values. Calls Prefect only if there are
    references.

    Raises SourceError when a value cannot be read.
    """
    pipeline = opened_pipeline(job.pipeline)
    return job if pipeline is job.pipeline else replace(job, pipeline=pipeline)


def opened_pipeline(pipeline: RunPipeline) -> RunPipeline:
    """The pipeline with the references replaced, as `with_blocks` does it."""
    if not any(references(each.credentials) for each in pipeline.connectors):
        return pipeline
    try:
        with get_client(sync_client=True) as client:
            allowed = settings().prefect_blocks.get(pipeline.tenant_id, ())

            def opened(record: ConnectorRecord) -> ConnectorRecord:
                return replace(record, credentials=credentials_from(client, record.credentials, allowed))

            return replace(
                pipeline,
                connector=opened(pipeline.connector),
                named={name: opened(record) for name, record in pipeline.named.items()},
            )
    except httpx.HTTPError as error:
        what = f"Prefect did not return the blocks of the connectors' credentials: {type(error).__name__}."
        raise SourceError("blocks_unreachable", what, "Run again when it answers.") from None


def credentials_from(
    client: SyncPrefectClient, credentials: Mapping[str, Any], allowed: Sequence[str]
) -> dict[str, Any]:
    """Credentials with references replaced by block values; `allowed` are patterns of `type/name`. Raises SourceError,
    whose texts contain no values."""
    return resolved(credentials, lambda reference: _read(client, reference), allowed)


def _read(client: SyncPrefectClient, reference: BlockReference) -> Mapping[str, Any]:
    kind, name = reference.type, reference.name
    try:
        try:
            # Reads the stored fields, so that the block's class need not be installed here.
            return client.read_block_document_by_name(name, kind, include_secrets=True).data
        except ObjectNotFound:
            client.read_block_type_by_slug(kind)
    except ObjectNotFound:
        raise SourceError(
            "block_type_not_found",
            f"Prefect has no block type '{kind}'.",
            "Register its collection (prefect block register -m …), or see `prefect block type ls`.",
        ) from None
    raise SourceError(
        "block_not_found", f"Prefect has no block '{name}' of type '{kind}'.", "Create it, or correct authConfig."
    )
