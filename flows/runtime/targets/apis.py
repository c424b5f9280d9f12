"""The APIs that targets send rows to."""

from __future__ import annotations

from headrace.connectors.api_targets import API_TARGETS
from headrace.connectors.connector import Connection, Context, Surroundings
from headrace.connectors.errors import SourceError, TargetError
from headrace.connectors.http.definition.used import config_with_document
from headrace.connectors.http.target.target import ApiTarget, as_target_error
from headrace.flows.runtime.job import Job
from headrace.ir.nodes import TargetNode
from headrace.ir.secrets import connection_credentials


def api_target(node: TargetNode, job: Job) -> ApiTarget:
    """The API of a target with a `connector`; does not connect. Raises TargetError."""
    assert node.connector is not None
    try:
        record = job.pipeline.connection(node.connection)
    except KeyError:
        raise TargetError(
            "unknown_connection",
            f"The target '{node.id}' sends through the connector '{node.connection}', which does not exist.",
            "Correct `connection`, or create the connector.",
        ) from None
    try:
        config = config_with_document(node.connector, record.type, record.config, job.pipeline.documents)
    except SourceError as error:
        raise as_target_error(error) from None
    connection = Connection(record.id, record.type, config, connection_credentials(record.credentials))
    surroundings = Surroundings(job.files_root, job.networks, job.role_buckets)
    return API_TARGETS[node.connector].target(Context(connection, surroundings, node.config))
