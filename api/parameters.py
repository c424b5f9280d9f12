"""Path parameters, query parameters and headers that several operations share, with their descriptions."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header, Path, Query

from headrace.api.ir.schemas import VersionNumber

PipelineIdPath = Annotated[str, Path(description="The pipeline's id: `pipe_…`")]
ReplicationIdPath = Annotated[str, Path(description="The replication's id: `repl_…`")]
RunIdPath = Annotated[str, Path(description="The run's id: `run_…`")]
ConnectorIdPath = Annotated[str, Path(description="The connector's id: `conn_…`")]
HookIdPath = Annotated[str, Path(description="The id of a connector of type `webhook`: `conn_…`")]
SchemaIdPath = Annotated[str, Path(description="The schema's id: `schema_…`")]

PipelineIdQuery = Annotated[str, Query(alias="id", max_length=200, description="The pipeline's id: `pipe_…`")]
ReplicationIdQuery = Annotated[str, Query(alias="id", max_length=200, description="The replication's id: `repl_…`")]
KeyIdQuery = Annotated[str, Query(alias="id", max_length=200, description="The key's id: `key_…`")]
ConnectorIdQuery = Annotated[str, Query(alias="id", description="The connector's id: `conn_…`")]
SchemaIdQuery = Annotated[str, Query(alias="id", description="The schema's id: `schema_…`")]
FieldIdQuery = Annotated[str, Query(alias="id", description="The column's id: `field_…`")]

NamePart = Annotated[
    str | None, Query(max_length=200, description="Only those with this text in their name, in any case")
]
NewestVersion = Annotated[VersionNumber | None, Query(description="A saved version; by default the newest one")]
OlderVersion = Annotated[VersionNumber, Query(alias="from", description="The older version")]
NewerVersion = Annotated[VersionNumber, Query(alias="to", description="The newer version")]
Publishing = Annotated[
    bool, Query(alias="publish", description="Make the version live; false only saves it, to be published later")
]
CancelRuns = Annotated[
    bool, Query(alias="force", description="Cancel runs that have not ended, instead of refusing with 409")
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        description="1 to 200 printable ASCII characters. Another request with the same key returns the run that the "
        "first one started, with 200"
    ),
]
IfMatch = Annotated[
    str | None,
    Header(description='The version that the change is based on, such as `"3"`; 409 if there is a newer one'),
]
