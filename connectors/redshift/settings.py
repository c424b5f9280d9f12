"""The `config` of a source node: that of every database, and whether rows are unloaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, model_validator

from headrace.connectors.sql.settings import SqlSettings, sql_problems
from headrace.ir.problems import Problem, fault


class RedshiftSettings(SqlSettings):
    """The source config of Redshift."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    unload: Literal["auto", "always", "never"] = "auto"
    """Whether rows are unloaded to the connector's `unloadTo` and read from there. `auto`: where there is one, from
    100,000 rows on, unless a cursor is read on from or a column has a type that Parquet has no place for."""

    @model_validator(mode="after")
    def _unloads(self) -> RedshiftSettings:
        if self.unload == "always" and self.cursor is not None:
            raise fault("bad_option", "'unload' does not go with 'cursor'", "what is new is selected: leave it out")
        return self


def problems(config: Mapping[str, Any]) -> list[Problem]:
    """The problems of a config, checked when it is saved."""
    return sql_problems("redshift", RedshiftSettings)(config)
