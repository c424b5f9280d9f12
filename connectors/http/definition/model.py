"""The document of a connector, `kind: connector` and `version: "1.0"`: its shape, from which its JSON Schema comes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from headrace.connectors.http.request_settings import MOST_PAGES, Name, Pagination, Path
from headrace.connectors.http.settings import Parent, RestSettings
from headrace.connectors.specs.base import Category, ClosedConfig, Text
from headrace.connectors.specs.services import SessionLogin

Id = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Template = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


class Auth(ClosedConfig):
    """The authentication of requests. Secrets are referenced by name: `"{{secrets.apiKey}}"`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    type: Literal["none", "api_key", "bearer", "basic", "oauth2", "jwt_bearer", "session"]
    """The authentication method."""
    header: Name | None = None
    """The header of an API key."""
    query: Name | None = None
    """The query parameter of an API key, instead of a header."""
    prefix: Annotated[str, StringConstraints(max_length=50)] | None = None
    """The prefix of the key or token in its header."""
    key_ref: Template | None = None
    """The API key: `{{secrets.apiKey}}`."""
    token_ref: Template | None = None
    """The bearer token: `{{secrets.token}}`."""
    username_ref: Template | None = None
    """The user name."""
    username: Annotated[str, StringConstraints(pattern=r"^[\x20-\x39\x3b-\x7e]{1,200}$")] | None = None
    """A user name for everybody, where the API only looks at the password."""
    password_ref: Template | None = None
    """The password."""
    authorize_url: Template | None = None
    """The authorization URL for users; not used."""
    token_url: Template | None = None
    """The token URL of OAuth 2.0; a path is below the base URL."""
    scopes: list[Text] = []
    """The requested scopes."""
    audience: Text | None = None
    """The requested audience."""
    client: Literal["header", "body"] = "body"
    """How the client's id and secret are sent."""
    client_id_ref: Template | None = None
    """The client's id: `{{secrets.clientId}}`."""
    client_secret_ref: Template | None = None
    """The client's secret."""
    refresh_token_ref: Template | None = None
    """A refresh token, instead of the client's own credentials."""
    private_key_ref: Template | None = None
    """The private key, as PEM text, with which `jwt_bearer` signs (RS256); `audience` and the user name are in what it
    signs."""
    login_url: Template | None = None
    """The URL of a login request (POST), for `session`; a path is below the base URL."""
    login: SessionLogin | None = None
    """How a login request is made: the keys of the user name and the password, and where the token is."""


class RateLimit(ClosedConfig):
    """The rate limit of the API."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    requests_per_second: float = Field(gt=0, le=10_000)
    """The most requests per second; the lowest of all endpoints applies to the connector."""
    burst_size: int | None = Field(default=None, ge=1)
    """Accepted, but not used."""


class DocumentPagination(Pagination):
    """Pagination as in a source's settings, or by `cursorField`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    cursor_field: Path | None = None
    """The path of the next token, sent in `cursorParam`; without `cursorParam`, the path of the next URL."""
    cursor_param: Name | None = None
    """The parameter for the token."""
    max_pages: int | None = Field(default=None, ge=1, le=10_000_000)
    """Like the endpoint's `maxPages`."""

    @model_validator(mode="after")
    def _whole(self) -> DocumentPagination:
        return self  # validated as source settings


class DocumentParent(Parent):
    """The parent of an endpoint: a request or a list; the endpoint is read once for each of its records or values."""

    @model_validator(mode="after")
    def _sendable(self) -> DocumentParent:
        return self


class Endpoint(RestSettings):
    """One endpoint: named settings of a source."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: Id
    """Its name in source nodes."""
    description: Annotated[str, StringConstraints(max_length=2000)] = ""
    """A description of its records."""
    url: Template | None = None
    """The complete URL, instead of `path`: `{{instance_url}}/v1/orders`."""
    response_rows_path: Path | None = None
    """The same as `records`."""
    rate_limit: RateLimit | None = None
    """Its rate limit."""
    pagination: DocumentPagination = DocumentPagination()
    parent: DocumentParent | None = None
    """Reads the endpoint once for each record of another request, or each value of a list."""
    max_pages: int = Field(default=MOST_PAGES, ge=1, le=10_000_000)
    """The most pages of one slice; more are an error."""

    @model_validator(mode="after")
    def _sendable(self) -> Endpoint:
        return self

    @model_validator(mode="after")
    def _placed(self) -> Endpoint:
        return self


class Read(ClosedConfig):
    """The primary endpoint and names of the API's objects."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    primary: Id
    """The endpoint that a connection test requests."""
    resource_types: list[Text] = []
    """Displayed names of the API's objects."""


class Variable(ClosedConfig):
    """A non-secret setting of the connector: `{{instance_url}}`."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    description: Annotated[str, StringConstraints(max_length=2000)] = ""
    """A description."""
    default: Annotated[str, StringConstraints(max_length=2000)] | int | None = None
    """The default value."""
    list: bool = False
    """Whether it is a list, separated by commas: as an item of a list in a request, it becomes several items."""


class ConnectorDocument(ClosedConfig):
    """An HTTP API."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    kind: Literal["connector"]
    """The kind of document."""
    version: Literal["1.0"]
    """The version of this format."""
    id: Id
    """Its identifier."""
    display_name: Text
    """Its displayed name."""
    description: Annotated[str, StringConstraints(max_length=2000)] = ""
    """A description."""
    category: Category = "web"
    """The kind of system."""
    url: Template | None = None
    """The base URL of every `path`; by default derived from the endpoints' `url`."""
    variables: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")], Variable] = {}
    """Settings that differ between accounts."""
    auth: list[Auth] = Field(default=[], max_length=5)
    """The authentication; of several, a connector uses one."""
    endpoints: list[Endpoint] = Field(min_length=1, max_length=500)
    """The endpoints."""
    read: Read | None = None
    """The primary endpoint and names of the API's objects."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the document, for editors."""
    schema = ConnectorDocument.model_json_schema(by_alias=True)
    schema["properties"]["$schema"] = {"type": "string"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Connector", **schema}
