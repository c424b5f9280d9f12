"""Response models of connector documents."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path
from pydantic import Field

from headrace.api.ir.schemas import AuthoredBy, Comment, SavedVersion, VersionNumber
from headrace.api.wire import CreatedAt, RequestModel, ResponseModel, UpdatedAt

DocumentId = Annotated[str, Path(max_length=128, description="The document's `id`")]


class YamlConnectorItem(ResponseModel):
    """A connector document."""

    id: str = Field(description="The document's `id`: source nodes name it `yaml:<id>`")
    display_name: str = Field(description="The name for people, of the live version")
    live_version: int = Field(description="The version that is read where none is named")
    newest_version: int = Field(description="The version that was saved last")
    created_at: CreatedAt
    updated_at: UpdatedAt


class ShippedConnectorItem(ResponseModel):
    """A connector document that comes with Headrace. A tenant's own document of the same `id` replaces it for sources
    `yaml:<id>` and connectors of the type `rest_api` that name it."""

    id: str = Field(description="The document's `id`, and the type of its connectors")
    display_name: str = Field(description="The name for people")
    description: str = Field(description="What it reads")
    endpoints: list[str] = Field(description="The endpoints that source nodes may name")
    replaced: bool = Field(description="Whether the tenant has a document of the same `id`")


class ShippedConnectors(ResponseModel):
    """The connector documents that come with Headrace."""

    data: list[ShippedConnectorItem]
    """All of them, by id."""


class ShippedConnector(ShippedConnectorItem):
    """A connector document that comes with Headrace."""

    document: dict[str, Any] = Field(description="The document; its JSON Schema is at /ir/schema/connector")
    variables: dict[str, str | None] = Field(description="The variables of the document, with their defaults")
    secrets: list[str] = Field(description="The names of the credentials that a connector gives in authConfig")


class YamlConnectorVersionItem(ResponseModel):
    """A saved version of a connector document, without the document."""

    version: SavedVersion
    authored_by: AuthoredBy
    comment: Comment
    created_at: CreatedAt
    live: bool = Field(description="Whether it is read where no version is named")


class YamlConnectorVersion(YamlConnectorVersionItem):
    """A saved version of a connector document."""

    id: str = Field(description="The document's `id`")
    document: dict[str, Any] = Field(description="The document; its JSON Schema is at /ir/schema/connector")
    variables: dict[str, str | None] = Field(description="The variables of the document, with their defaults")
    secrets: list[str] = Field(description="The names of the credentials that a connector gives in authConfig")
    endpoints: list[str] = Field(description="The endpoints that source nodes may name")


class PublishYamlConnector(RequestModel):
    """The version to make live."""

    version: VersionNumber = Field(description="A saved version")


class YamlConnectorDifference(ResponseModel):
    """The difference of two versions."""

    from_version: int = Field(alias="from", description="The older version")
    to_version: int = Field(alias="to", description="The newer version")
    patch: list[dict[str, Any]] = Field(description="An RFC 6902 patch from the older to the newer one")
