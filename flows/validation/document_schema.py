"""The published JSON Schema of a pipeline document: the schema of its models, and of the `config` of each connector."""

from __future__ import annotations

from headrace.connectors.api_targets import API_TARGETS
from headrace.connectors.http.settings import RestSettings
from headrace.connectors.registry import readable, source_names
from headrace.connectors.specs.base import Config
from headrace.ir.json_schema import Schema, document_schema, schema_of
from headrace.ir.yaml_connectors import PREFIX

PARAMETER = {"type": "string", "pattern": r"\{\{.+\}\}", "description": "A parameter of the run."}


def published_schema() -> Schema:
    """The schema (JSON Schema 2020-12). The config of a connector that is not implemented may have any keys."""
    schema = document_schema()
    source = schema["$defs"]["SourceNode"]
    source["properties"]["connector"]["examples"] = [*readable(), *sorted(source_names() - readable().keys())]
    source["allOf"] = []
    for connector, model in ((name, each.settings) for name, each in readable().items()):
        if model is not None:
            names = {"const": connector} if model is not RestSettings else {"pattern": f"^({connector}$|{PREFIX})"}
            source["allOf"].append(_config_of(schema, names, model))
    schema["$defs"]["TargetNode"]["allOf"] = [
        _config_of(schema, {"const": name}, each.settings) for name, each in API_TARGETS.items()
    ]
    return schema


def _config_of(schema: Schema, connector: Schema, model: type[Config]) -> Schema:
    """The rule that nodes with a `connector` have a `config` of this model, which is added to the definitions."""
    settings = schema_of(model)
    inner = settings.pop("$defs", {})
    for each in (settings, *inner.values()):
        _take_parameters(each)
    schema["$defs"] |= inner | {model.__name__: settings}
    named = {"properties": {"connector": connector}, "required": ["connector"]}
    return {"if": named, "then": {"properties": {"config": {"$ref": f"#/$defs/{model.__name__}"}}}}


def _take_parameters(settings: Schema) -> None:
    """Allows text with `{{name}}`, which a run replaces, for settings that are numbers or enums."""
    for name, setting in settings.get("properties", {}).items():
        choices = setting.get("anyOf", [setting])
        if any(map(_is_narrow, choices)) and not any(map(_is_text, choices)):
            outer = {key: setting.pop(key) for key in ("description", "default") if key in setting}
            settings["properties"][name] = outer | {"anyOf": [*choices, PARAMETER]}


def _is_narrow(schema: Schema) -> bool:
    return schema.get("type") in ("integer", "number") or "enum" in schema


def _is_text(schema: Schema) -> bool:
    return schema.get("type") == "string" and "enum" not in schema
