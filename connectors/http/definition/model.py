"""The document of a connector, `kind: connector` and `version: "1.0"`: its shape, from which its JSON Schema comes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from headrace.connectors.http.settings import MOST_PAGES, Name, Pagination, Parent, Path, RestSettings
from headrace.connectors.specs.base import Category, ClosedConfig, Text

Id = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Template = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


class Auth(ClosedConfig):
    """How requests say who asks. A secret is named, never written: `"{{secrets.apiKey}}"`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: Literal["none", "api_key", "bearer", "basic", "oauth2"]
    """The kind of login."""
    header: Name | None = None
    """The header of an API key."""
    query: Name | None = None
    """The parameter of an API key instead."""
    prefix: Annotated[str, StringConstraints(max_length=50)] | None = None
    """The prefix of the key or token in its header."""
    key_ref: Template | None = None
    """The API key: `{{secrets.apiKey}}`."""
    token_ref: Template | None = None
    """The bearer token: `{{secrets.token}}`."""
    username_ref: Template | None = None
    """The user name."""
    password_ref: Template | None = None
    """The password."""
    authorize_url: Template | None = None
    """Where a person would consent; it is not asked."""
    token_url: Template | None = None
    """Where OAuth 2.0 tokens are fetched."""
    scopes: list[Text] = []
    """The scopes that are asked for."""
    audience: Text | None = None
    """The audience that is asked for."""
    client: Literal["header", "body"] = "body"
    """Where the client's id and secret are sent."""
    client_id_ref: Template | None = None
    """The client's id: `{{secrets.clientId}}`."""
    client_secret_ref: Template | None = None
    """The client's secret."""
    refresh_token_ref: Template | None = None
    """A refresh token, instead of the client's own credentials."""


class RateLimit(ClosedConfig):
    """How fast the API may be asked."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    requests_per_second: float = Field(gt=0, le=10_000)
    """Requests a second at most; the lowest of all endpoints holds for the connector."""
    burst_size: int | None = Field(default=None, ge=1)
    """Accepted, and not used."""


class DocumentPagination(Pagination):
    """As in a source's settings, and as `cursorField` says it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    cursor_field: Path | None = None
    """The path of the next token, sent in `cursorParam`; without that, of the next address."""
    cursor_param: Name | None = None
    """Where the token is sent."""
    max_pages: int | None = Field(default=None, ge=1, le=10_000_000)
    """As the endpoint's `maxPages`."""

    @model_validator(mode="after")
    def _whole(self) -> DocumentPagination:
        return self  # judged as the source's settings that it becomes


class DocumentParent(Parent):
    """A request or a list for each of which an endpoint is read."""

    @model_validator(mode="after")
    def _sendable(self) -> DocumentParent:
        return self


class Endpoint(RestSettings):
    """One endpoint: the settings of a source, by a name."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: Id
    """What a source node calls it."""
    description: Annotated[str, StringConstraints(max_length=2000)] = ""
    """What it gives, for people."""
    url: Template | None = None
    """The whole address, instead of `path`: `{{instance_url}}/v1/orders`."""
    response_rows_path: Path | None = None
    """The same as `records`."""
    rate_limit: RateLimit | None = None
    """How fast it may be asked."""
    pagination: DocumentPagination = DocumentPagination()
    parent: DocumentParent | None = None
    """For each record of another request, or each value of a list."""
    max_pages: int = Field(default=MOST_PAGES, ge=1, le=10_000_000)
    """The most pages of one slice; more are an error."""

    @model_validator(mode="after")
    def _sendable(self) -> Endpoint:
        return self

    @model_validator(mode="after")
    def _placed(self) -> Endpoint:
        return self


class Read(ClosedConfig):
    """What is read first."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    primary: Id
    """The endpoint that a connection test asks."""
    resource_types: list[Text] = []
    """Names of what the API has, for people."""


class Variable(ClosedConfig):
    """A setting of the connector that is no secret: `{{instance_url}}`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    description: Annotated[str, StringConstraints(max_length=2000)] = ""
    """What it is, for people."""
    default: str | int | None = None
    """What it is where nobody says otherwise."""


class ConnectorDocument(ClosedConfig):
    """An HTTP API."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    kind: Literal["connector"]
    """What the document is."""
    version: Literal["1.0"]
    """The version of this format."""
    id: Id
    """Its name for programs."""
    display_name: Text
    """Its name for people."""
    description: Annotated[str, StringConstraints(max_length=2000)] = ""
    """What it is, for people."""
    category: Category = "web"
    """The kind of system."""
    url: Template | None = None
    """The address before every `path`; found from the endpoints' `url` without it."""
    variables: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")], Variable] = {}
    """Settings that differ from account to account."""
    auth: list[Auth] = Field(default=[], max_length=1)
    """The login."""
    endpoints: list[Endpoint] = Field(min_length=1, max_length=500)
    """What can be read."""
    read: Read | None = None
    """What is read first."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the document, for editors."""
    schema = ConnectorDocument.model_json_schema(by_alias=True)
    schema["properties"]["$schema"] = {"type": "string"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Connector", **schema}
