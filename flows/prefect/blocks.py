"""Blocks as Prefect's API gives them: read right before use, each time, so that a new value is the next run's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import httpx
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound

from catalog.settings import settings
from connectors.base import SourceError
from flows.block_references import BlockReference, references, resolved
from flows.runtime.job import Job


def with_blocks(job: Job) -> Job:
    """The job with the values of blocks in its connector's credentials. Prefect is only asked when blocks are named.

    Raises SourceError when a value cannot be had.
    """
    connector = job.pipeline.connector
    if not references(connector.credentials):
        return job
    try:
        with get_client(sync_client=True) as client:
            allowed = settings().prefect_blocks.get(job.pipeline.tenant_id, ())
            credentials = credentials_from(client, connector.credentials, allowed)
    except httpx.HTTPError as error:
        what = f"Prefect could not be asked for the blocks of the connector's credentials: {type(error).__name__}."
        raise SourceError("blocks_unreachable", what, "Run again when it answers.") from None
    return replace(job, pipeline=replace(job.pipeline, connector=replace(connector, credentials=credentials)))


def credentials_from(
    client: SyncPrefectClient, credentials: Mapping[str, Any], allowed: Sequence[str]
) -> dict[str, Any]:
    """Credentials with the values of the blocks they name; `allowed` are patterns of `type/name`. Raises SourceError,
    never with a value."""
    return resolved(credentials, lambda reference: _read(client, reference), allowed)


def _read(client: SyncPrefectClient, reference: BlockReference) -> Mapping[str, Any]:
    kind, name = reference.type, reference.name
    try:
        try:
            # The fields as they are stored: the block's class need not be installed here.
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
        "block_not_found", f"Prefect has no block '{name}' of type '{kind}'.", "Create it, or mend authConfig."
    )
