"""The documents `headrace apply` reads: connectors, schemas, pipelines around their IR, and replications."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator
from pydantic.alias_generators import to_camel

from headrace.ir.base import DisplayName
from headrace.ir.problems import fault, nearest
from headrace.ir.schema import DATA_TYPES

Name = DisplayName
Description = Annotated[str, StringConstraints(max_length=4000)]


class _Shape(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", hide_input_in_errors=True)


class ConnectorShape(_Shape):
    """Without `authConfig` the stored credentials are kept. A text as `authConfig` names a block of Prefect for all."""

    kind: Literal["connector"]
    name: Name
    type: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    description: Description | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    auth_method: Annotated[str, StringConstraints(min_length=1, max_length=64)] = "access_key"
    auth_config: dict[str, Any] | None = None

    @field_validator("auth_config", mode="before")
    @classmethod
    def _all_from_block(cls, given: object) -> object:
        return {"*": given} if isinstance(given, str) and given.startswith("prefect://") else given


class FieldShape(_Shape):
    """A column. Omitted sizes and nullability get the server's defaults for the type."""

    name: Annotated[str, StringConstraints(min_length=1)]
    display_name: Name | None = None
    data_type: str = "varchar"
    length: int | None = None
    precision: int | None = None
    scale: int | None = None
    is_nullable: bool | None = None
    is_primary_key: bool = False
    is_unique: bool = False
    is_predictor: bool = False
    default_value: str | int | float | bool | None = None
    description: Description = ""

    @field_validator("data_type")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in DATA_TYPES:
            raise fault("unknown_type", f"There is no data type '{name}'", nearest(name, DATA_TYPES))
        return name


class SchemaShape(_Shape):
    """`linkedSchema` is another schema's name."""

    kind: Literal["schema"]
    name: Name
    display_name: Name | None = None
    description: Description | None = None
    entity_type: Name = "custom"
    schema_type: Name = "customer"
    linked_schema: Name | None = None
    join_mapping: dict[str, Any] | None = None
    summary_columns: list[Any] | None = None
    auto_enrich: bool = False
    fields: list[FieldShape] = Field(default_factory=list)

    @field_validator("fields")
    @classmethod
    def _distinct(cls, fields: list[FieldShape]) -> list[FieldShape]:
        names = [each.name for each in fields]
        for name in names:
            if names.count(name) > 1:
                raise fault("duplicate_name", f"Two fields are called '{name}'")
        return fields


class PipelineShape(_Shape):
    """The fields of a pipeline's document that are not its IR. `name` defaults to the IR's `metadata.name`.
    `active: false` pauses the schedule; without `active` it is not changed."""

    model_config = ConfigDict(extra="allow")

    name: Name | None = None
    connector: Name
    schema_: Annotated[Name, Field(alias="schema")]
    description: Description | None = None
    execution_config: dict[str, Any] = Field(default_factory=dict)
    cron: str | None = None
    active: bool | None = None


class ReplicationShape(_Shape):
    """The fields of a replication's document that are not the replication: `active: false` pauses its schedule; without
    `active` it is not changed."""

    model_config = ConfigDict(extra="allow")

    kind: Literal["replication"]
    active: bool | None = None


OUTER_KEYS = frozenset(field.alias or name for name, field in PipelineShape.model_fields.items())
"""Keys of a pipeline's document that are not part of the IR."""


class YamlConnectorShape(_Shape):
    """A connector's document, which is checked by `connectors.http.definition`."""

    model_config = ConfigDict(extra="allow")

    kind: Literal["connector"]
    id: Name


YAML_CONNECTOR = "yaml-connector"
"""The kind of a connector's document (`kind: connector` with `endpoints`), to tell it from a connector's record."""

SHAPES: dict[str, type[_Shape]] = {
    YAML_CONNECTOR: YamlConnectorShape,
    "connector": ConnectorShape,
    "schema": SchemaShape,
    "pipeline": PipelineShape,
    "replication": ReplicationShape,
}
