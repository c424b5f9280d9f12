"""Removes what runs of a pipeline keep at the servers of its sources: replication slots, which fill the disks of those
servers when nobody reads them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import partial

import anyio.from_thread

from headrace.api.connectors.connections import surroundings_of
from headrace.api.context import RequestContext
from headrace.api.databases import opened
from headrace.api.errors import ApiError
from headrace.api.pipelines.service import owned_pipeline
from headrace.api.subprocesses import jobs
from headrace.connectors.connector import Connection, Context, Reader
from headrace.connectors.errors import SourceError
from headrace.connectors.registry import reader
from headrace.ir.redaction import redact, secret_texts
from headrace.ir.secrets import connection_credentials

_GRACE_S = 3.0
_LOG = logging.getLogger(__name__)


def forget_sources(context: RequestContext, pipeline_id: str, *, force: bool) -> None:
    """Removes it for the source nodes of all versions, which may be in several databases. Raises ApiError 409 if a
    server cannot be asked; with `force` that is logged, and `headrace doctor` reports what is left."""
    services = context.services
    seconds = services.settings.connector_test_timeout_s
    for connector, source, secrets in _sources(context, pipeline_id):
        run = partial(services.subprocesses.run, None, context.principal.tenant_id, "removal of replication slots")
        try:
            anyio.from_thread.run(run, seconds + _GRACE_S, jobs.forget_source, connector, source, seconds)
        except (SourceError, ApiError) as error:
            text = redact(str(error), secrets)
            assert source.reader is not None
            node = source.reader.node
            if not force:
                raise ApiError(
                    409,
                    f"What the runs keep at the server of the source '{node}' cannot be removed: {text} "
                    "Delete the pipeline again when the server answers, or with force=true to leave it there",
                ) from error
            _LOG.warning("the source '%s' of the deleted pipeline %s keeps its slot: %s", node, pipeline_id, text)


def _sources(context: RequestContext, pipeline_id: str) -> Iterator[tuple[str, Context, list[str]]]:
    """The connector of each source node that keeps something, the context it is asked with, and texts that no message
    may have."""
    with context.catalog() as catalog:
        versions = catalog.pipelines.ir_versions(owned_pipeline(catalog, pipeline_id))
        keeping = [(each.version, node) for each in versions for node in each.ir.get("nodes", ()) if _keeps(node)]
    seen: set[tuple[str, str]] = set()
    for version, node in keeping:
        try:
            loaded = context.store.pipelines.load(pipeline_id, version)
            record = opened(context, loaded).connection(node.get("connection"))
        except (KeyError, SourceError):
            continue  # a connector that does not exist any more cannot be asked
        if (record.id, node["id"]) in seen:
            continue
        seen.add((record.id, node["id"]))
        credentials = connection_credentials(record.credentials)
        connection = Connection(record.id, record.type, record.config, credentials)
        who = Reader(pipeline_id, str(node["id"]))
        asked = Context(connection, surroundings_of(context, connection), node.get("config") or {}, reader=who)
        yield str(node["connector"]), asked, list(secret_texts(record.credentials))


def _keeps(node: object) -> bool:
    if not isinstance(node, dict) or node.get("kind") != "source":
        return False
    found = reader(str(node.get("connector")))
    config = node.get("config")
    return found is not None and found.forget is not None and isinstance(config, dict) and found.keeps(config)
