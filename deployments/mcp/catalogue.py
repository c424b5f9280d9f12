"""The tool that says what a document may contain, read off the models: nodes, ops, rules, providers."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, Field

from headrace.deployments.errors import HeadraceError
from headrace.deployments.mcp.tools import reads
from headrace.ir.document import PipelineIR
from headrace.ir.json_schema import schema_of
from headrace.ir.nodes import NODES
from headrace.ir.ops import OPS
from headrace.ir.problems import nearest
from headrace.ir.providers import CONFIGS
from headrace.ir.rules.syntax import FORMS


class CatalogueTools:
    """Needs no server."""

    @reads
    def catalogue(
        self,
        name: Annotated[
            str | None, Field(description="A node kind, op or provider, for its JSON Schema; without it, the list")
        ] = None,
    ) -> Any:
        """List what a pipeline document may contain: kinds of nodes, ops, row rules and providers
        of `enrich` nodes; or show the JSON
        Schema of one of them. `document` is the document as a whole."""
        models = _models()
        if name is None:
            return {
                "document": list(PipelineIR.model_fields),
                "nodes": {kind: _summary(model) for kind, model in NODES.items()},
                "ops": {kind: _summary(model) for kind, model in OPS.items()},
                "rules": {form.example: form.meaning for form in FORMS.values()},
                "providers": sorted(CONFIGS),
            }
        if name not in models:
            raise HeadraceError(f"The catalogue has no '{name}'.", nearest(name, models))
        return schema_of(models[name])


@cache
def _models() -> dict[str, type[BaseModel]]:
    return {**CONFIGS, **OPS, **NODES, "document": PipelineIR}


def _summary(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())
