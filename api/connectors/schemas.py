"""The shapes of a connector on the wire."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from api.wire import Body, Description, Id, Name, Shown, Timestamp, omitted
from connectors.base import SourceError
from connectors.catalogue import CONNECTOR_TYPES
from flows.block_references import PATTERN, WHOLE, BlockReference, is_reference, references
from ir.problems import fault, nearest


def _known(name: str) -> str:
    if name not in CONNECTOR_TYPES:
        raise fault("unknown_type", f"There is no connector type '{name}'", nearest(name, CONNECTOR_TYPES))
    return name


TypeName = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64),
    AfterValidator(_known),
    WithJsonSchema({"type": "string", "enum": sorted(CONNECTOR_TYPES)}),
]
AuthMethod = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Config = Annotated[dict[str, Any], Field(description="Settings that may be shown; GET /connector-types says which.")]


def _all_from_block(value: object) -> object:
    return {WHOLE: value} if is_reference(value) else value


def _readable(credentials: dict[str, Any]) -> dict[str, Any]:
    for reference in references(credentials).values():
        try:
            BlockReference.parse(reference)
        except SourceError as error:
            raise fault(error.code, error.message, error.hint) from None
    return credentials


_AUTH_DESCRIPTION = (
    "Credentials: encrypted at rest, write-only, never returned. A value, or all of it, may be "
    "`prefect://<block type>/<block name>[/<field>]`: then it stands in a block of Prefect, is read anew by every run, "
    "and is shown in `authReferences`."
)
AuthConfig = Annotated[
    dict[str, Any],
    BeforeValidator(_all_from_block),
    AfterValidator(_readable),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "object", "additionalProperties": True},
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


class ConnectorItem(Shown):
    """A connector without its credentials, which are never shown."""

    id: str
    name: str
    type: str
    description: str | None
    config: dict[str, Any]
    auth_method: str
    auth_references: dict[str, str] = Field(
        default_factory=dict,
        exclude_if=lambda found: not found,  # the documented shape has no such field
        description="Only where credentials stand in blocks of Prefect: the blocks, by where their values belong; "
        "`*` gives all of them.",
    )
    status: str
    last_tested_at: Timestamp | None
    last_error: str | None
    last_sync_row_count: int | None
    last_sync_at: Timestamp | None
    created_at: Timestamp
    updated_at: Timestamp


class TestConnector(Body):
    """A connection to try that is not stored. `config` and its alias `connectionConfig` are merged."""

    __test__ = False  # pytest takes it for tests otherwise
    model_config = ConfigDict(json_schema_extra={"examples": [_TEST_EXAMPLE]})

    type: TypeName
    config: Config = Field(default_factory=dict)
    connection_config: Config = Field(default_factory=dict)
    auth_method: AuthMethod = "access_key"
    auth_config: AuthConfig = Field(default_factory=dict)


class CreateConnector(TestConnector):
    """A new connector. `config` and its alias `connectionConfig` are merged; `authConfig` is write-only."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: Name
    description: Description | None = None


class UpdateConnector(Body):
    """Changes of a connector; what is left out stays. `config` and `authConfig` are replaced as a whole.

    The type cannot change. Credentials have to be given again where the change decides where they are sent.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": "conn_019ac0ffee", "description": "Read replica"}]}
    )

    id: Id
    name: Name = omitted()
    type: TypeName = omitted()
    description: Description | None = None
    config: Config = omitted()
    connection_config: Config = omitted()
    auth_method: AuthMethod = omitted()
    auth_config: AuthConfig = omitted()


class TestResult(Shown):
    """Whether the connection works, how long it took, and some of what is there."""

    __test__ = False

    ok: bool
    latency_ms: int
    message: str
    sample: dict[str, Any] | None = None
