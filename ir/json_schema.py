"""The JSON Schema of the document, made from its models: for editors, and for checks without Headrace.

It accepts what the models accept. It does not cover what the parser's structural checks and the compiler check: ids,
inputs, columns, types.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue
from pydantic_core import CoreSchema

from headrace.ir.document import PipelineIR
from headrace.ir.rules.syntax import FORMS, rule_pattern

SCHEMA_ID = "urn:headrace:pipeline-ir:1.0"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def document_schema() -> Schema:
    """Returns the schema of a pipeline document (JSON Schema 2020-12), a new object at every call."""
    schema = schema_of(PipelineIR)
    rule = schema["$defs"]["RowRule"]["properties"]["rule"]
    rule |= {"pattern": rule_pattern(), "examples": [form.example for form in FORMS.values()]}
    schema |= {"title": "Pipeline IR 1.0", "description": "One pipeline as a document."}
    return {"$schema": DIALECT, "$id": SCHEMA_ID, **schema}


def schema_of(model: type[BaseModel]) -> Schema:
    """Returns the schema of a model by its JSON names, with `$defs` and without `$schema`."""
    schema = model.model_json_schema(by_alias=True, mode="validation", schema_generator=_Generator)
    _tidy(schema)
    return schema


class _Generator(GenerateJsonSchema):
    def generate(self, schema: CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        made = super().generate(schema, mode)
        made.pop("$schema", None)
        return made

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False  # the generated title "Loadmode" is less clear than "loadMode"

    def tagged_union_schema(self, schema: Any) -> JsonSchemaValue:
        made = super().tagged_union_schema(schema)
        made.pop("discriminator", None)  # an OpenAPI keyword; the members' `const` has the same meaning
        made["oneOf"] = [inner for each in made["oneOf"] for inner in each.get("oneOf", [each])]
        return made


_MAPS = ("properties", "patternProperties", "$defs")
"""Keywords whose keys are names, not keywords."""


def _tidy(schema: object) -> None:
    if isinstance(schema, list):
        for each in schema:
            _tidy(each)
    if not isinstance(schema, dict):
        return
    if "description" in schema:
        schema["description"] = plain_text(schema["description"])
    if "title" in schema and "properties" in schema:
        schema["title"] = title_of(schema)
    if schema.get("default", "") is None or isinstance(schema.get("default"), dict | list):
        del schema["default"]  # editors would insert it
    if "patternProperties" in schema:
        schema.setdefault("additionalProperties", False)
    _place_lengths(schema)
    for keyword, each in schema.items():
        for inner in each.values() if keyword in _MAPS else [each]:
            _tidy(inner)


def _place_lengths(node: Schema) -> None:
    """Moves lengths of a list to `minItems` and `maxItems`, also where a Shorthand wraps the list."""
    lengths = {key: node[key] for key in ("minLength", "maxLength") if key in node}
    lists = [each for each in (node, *node.get("anyOf", ())) if each.get("type") == "array"]
    if lengths and lists:
        for key, value in lengths.items():
            del node[key]
            lists[0][key.replace("Length", "Items")] = value


def plain_text(docstring: str) -> str:
    """Returns a docstring as paragraphs of one line each."""
    paragraphs = re.split(r"\n\s*\n", inspect.cleandoc(docstring))
    return "\n\n".join(" ".join(each.split()) for each in paragraphs)


def title_of(schema: Schema) -> str:
    """Returns the title of a model: its discriminator value (`geo_resolve`), else its name in words."""
    for tag in ("provider", "kind", "type"):
        constant = schema["properties"].get(tag, {}).get("const")
        if isinstance(constant, str):
            return constant
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(schema["title"])).lower()
