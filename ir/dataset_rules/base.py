"""What every dataset rule has, and how one or several of a kind are written."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from ir.base import Doc
from ir.problems import fault

OnDatasetFail = Literal["abort", "warn"]


class DatasetRule(Doc):
    """A rule on all rows together that leave the validate node. `abort`: the run fails and nothing of what stands
    behind the node becomes visible in a target; `warn`: the log, the report and the run say so, and it is loaded."""

    on_fail: OnDatasetFail = "abort"
    """What follows when it does not hold."""


class Bounded(DatasetRule):
    """A rule with a smallest and a greatest value that are allowed, at least one of them."""

    min: float | None = None
    """The smallest value that is allowed."""
    max: float | None = None
    """The greatest value that is allowed."""

    @model_validator(mode="after")
    def _has_bounds(self) -> Bounded:
        if self.min is None and self.max is None:
            raise fault("missing_field", "Neither 'min' nor 'max' is given", "give at least one of them")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise fault("invalid_value", f"'min' ({self.min:g}) is above 'max' ({self.max:g})", "swap them")
        return self


class _OneIsAList:
    """A document may hold one thing where a list of them may stand."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        def as_list(value: Any) -> Any:
            return value if isinstance(value, list | tuple) else [value]

        return core_schema.no_info_before_validator_function(as_list, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        several = handler(schema)
        return {"anyOf": [several["items"], several]}


RuleT = TypeVar("RuleT", bound=DatasetRule)

Several = Annotated[tuple[RuleT, ...], Field(max_length=100), _OneIsAList()]
"""One rule, or a list of rules of its kind."""
