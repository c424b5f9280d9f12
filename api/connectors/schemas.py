"""Request and response models of connectors."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import CoreSchema

from headrace.api.wire import (
    ConnectorId,
    CreatedAt,
    Description,
    Id,
    Name,
    RequestModel,
    ResponseModel,
    Timestamp,
    UpdatedAt,
    omitted,
)
from headrace.catalog.models.connectors import ConnectorStatus
from headrace.connectors.errors import SourceError
from headrace.connectors.registry import connector_types
from headrace.flows.prefect.block_references import PATTERN, WHOLE, BlockReference, is_reference, references
from headrace.ir.problems import fault, nearest


def _known_type(name: str) -> str:
    if name not in connector_types():
        raise fault("unknown_type", f"There is no connector type '{name}'", nearest(name, connector_types()))
    return name


class _Names:
    """The types of installed packages belong to what is published too."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "enum": sorted(connector_types())}


TypeName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64),
    AfterValidator(_known_type),
    _Names(),
]
DEFAULT_AUTH_METHOD = "access_key"
AuthMethod = Annotated[str, StringConstraints(min_length=1, max_length=64)]
_MAX_SETTINGS = 200
Config = Annotated[
    dict[str, Any],
    Field(description="Settings without secrets; GET /connector-types lists them per type.", max_length=_MAX_SETTINGS),
]


def _whole_block(value: object) -> object:
    return {WHOLE: value} if is_reference(value) else value


def _valid_references(credentials: dict[str, Any]) -> dict[str, Any]:
    for reference in references(credentials).values():
        try:
            BlockReference.parse(reference)
        except SourceError as error:
            raise fault(error.code, error.message, error.hint) from None
    return credentials


_AUTH_DESCRIPTION = (
    "Credentials: encrypted at rest, write-only, never returned. A value, or the whole object, may be "
    "`prefect://<block type>/<block name>[/<field>]`: it is then read from a Prefect block by every run, and the "
    "reference is shown in `authReferences`."
)
AuthConfig = Annotated[
    dict[str, Any],
    Field(max_length=_MAX_SETTINGS),
    BeforeValidator(_whole_block),
    AfterValidator(_valid_references),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "object", "additionalProperties": True, "maxProperties": _MAX_SETTINGS},
                {"type": "string", "pattern": PATTERN, "maxLength": 300},
            ],
            "description": _AUTH_DESCRIPTION,
        }
    ),
]

_TEST_EXAMPLE: dict[str, Any] = {
    "type": "postgresql",
    "config": {"host": "db.example.com", "port": 5432, "database": "shop"},
    "authMethod": "basic",
    "authConfig": {"username": "reader", "password": "correct horse battery staple"},
}
_EXAMPLE: dict[str, Any] = {"name": "Production database", **_TEST_EXAMPLE}


class ConnectorItem(ResponseModel):
    """A connector without its credentials, which are never returned."""

    id: ConnectorId
    name: str
    """The name, unique in the tenant."""
    type: str
    """The connector type, as listed at `/connector-types`. Installed packages may add types."""
    description: str | None
    """A text for people; null without one."""
    config: dict[str, Any]
    """The settings without secrets, as given."""
    auth_method: str
    """How it authenticates, as given; `/connector-types` lists the methods of each type."""
    auth_references: dict[str, str] = Field(
        default_factory=dict,
        exclude_if=lambda found: not found,  # the documented shape has no such field
        description="Only when credentials are in Prefect blocks: the references by credential; `*` is a block with "
        "all credentials.",
    )
    hook_url: str | None = Field(
        default=None,
        exclude_if=lambda found: found is None,
        description="Only of type `webhook`: where the sender posts its records.",
    )
    status: ConnectorStatus
    """`error` if the last test of the connection failed, else `active`."""
    last_tested_at: Timestamp | None
    """When the connection was last tested; null if never."""
    last_error: str | None
    """Why the last test failed; null if it succeeded or there was none."""
    last_sync_row_count: int | None
    """The rows that the last successful run of a pipeline of this connector read; null without one."""
    last_sync_at: Timestamp | None
    """When the last successful run of a pipeline of this connector ended; null without one."""
    created_at: CreatedAt
    updated_at: UpdatedAt


class TestConnector(RequestModel):
    """A connection to test without storing it. `config` and its alias `connectionConfig` are merged."""

    __test__ = False  # else pytest collects it
    model_config = ConfigDict(json_schema_extra={"examples": [_TEST_EXAMPLE]})

    type: TypeName
    """The connector type, as listed at `/connector-types`."""
    config: Config = Field(default_factory=dict)
    connection_config: Config = Field(default_factory=dict)
    auth_method: AuthMethod = DEFAULT_AUTH_METHOD
    """How it authenticates; `/connector-types` lists the methods of each type."""
    auth_config: AuthConfig = Field(default_factory=dict)


class CreateConnector(TestConnector):
    """A new connector. `config` and its alias `connectionConfig` are merged; `authConfig` is write-only."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: Name
    """The name, unique in the tenant."""
    description: Description | None = None
    """A text for people."""


class UpdateConnector(RequestModel):
    """Changes of a connector; omitted fields are unchanged. `config` and `authConfig` are replaced as a whole.

    The type cannot change. Credentials must be given again when the change affects where they are sent.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": "conn_019ac0ffee", "description": "Read replica"}]}
    )

    id: Id
    """The connector's id: `conn_…`."""
    name: Name = omitted()
    """The new name, unique in the tenant."""
    type: TypeName = omitted()
    """May be repeated, but not changed."""
    description: Description | None = None
    """A text for people; null removes it."""
    config: Config = omitted()
    connection_config: Config = omitted()
    auth_method: AuthMethod = omitted()
    """How it authenticates; a change needs `authConfig` as well if credentials are stored."""
    auth_config: AuthConfig = omitted()


class UploadedFile(ResponseModel):
    """An uploaded file."""

    name: str
    """The file's name, which source nodes use as path."""
    size: int
    """Bytes."""
    checksum: str
    """The SHA-256 of the content, in hexadecimal digits."""
    uploaded_at: Timestamp
    """When its content was uploaded."""


class UploadedFiles(ResponseModel):
    """The uploaded files of a connector."""

    data: list[UploadedFile]
    """The files, by name."""


class TestResult(ResponseModel):
    """Whether the connection works, its latency, and a sample of what it found."""

    __test__ = False

    ok: bool
    """Whether the connection works."""
    latency_ms: int
    """How long the test took, in milliseconds."""
    message: str
    """What was found, or why the connection does not work, for people."""
    sample: dict[str, Any] | None = None
    """A part of what was found, such as names of tables or files; omitted if the connection does not work."""
