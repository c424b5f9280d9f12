"""Models as Markdown tables, from their JSON Schema, so that page and schema agree."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from headrace.flows.validation.document_schema import PARAMETER
from headrace.ir.schema import DATA_TYPES

Schema = dict[str, Any]

_TAGS = ("kind", "type")


class Models:
    """Tables of the models of one page. A model used by several others is described where it is first used."""

    def __init__(self, definitions: Schema, sections: Mapping[str, str]) -> None:
        """`sections`: models that have a section, with its name."""
        self._definitions, self._sections = definitions, sections
        self._shown: set[str] = set()

    def by_tag(self, tag: str, value: str) -> list[str]:
        """The names of the models whose `tag` is the constant `value`."""
        return [name for name in self._definitions if self.tag(name, tag) == value]

    def tag(self, name: str, tag: str) -> str | None:
        """The constant that a model has as `tag`."""
        constant = self._definitions[name].get("properties", {}).get(tag, {}).get("const")
        return None if constant is None else str(constant)

    def of_field(self, name: str, field: str) -> str:
        """The name of the model that a field of a model holds."""
        return next(_references(self._definitions[name]["properties"][field]))

    def described(self, name: str, *, without: tuple[str, ...] = (), about: str | None = None) -> Iterator[str]:
        """Lines: the model's description, its fields, and then the models of its fields that were not described yet.
        Fields named in `without` are left out; `about` replaces the description."""
        self._shown.add(name)
        yield from self.of(self._definitions[name], without=without, about=about)

    def of(self, model: Schema, *, without: tuple[str, ...] = (), about: str | None = None) -> Iterator[str]:
        """The same for a schema."""
        yield from (" ".join(about.split()) if about else model["description"], "")
        required = model.get("required", ())
        fields = {
            name: field
            for name, field in model["properties"].items()
            if name not in without and not (name in _TAGS and "const" in field and "description" not in field)
        }
        if fields:
            yield from ("| field | type | default | meaning |", "|---|---|---|---|")
        for name, field in fields.items():
            cells = (
                f"`{name}`",
                self._type(field),
                "*required*" if name in required else _default(field),
                _inline(field.get("description", "")),
            )
            yield f"| {' | '.join(cells)} |"
        yield ""
        for name in [each for field in fields.values() for each in _references(field)]:
            if name not in self._shown and name not in self._sections:
                yield from (f"**{self._definitions[name]['title']}**", "")
                yield from self.described(name)

    def _type(self, field: Schema) -> str:
        if "$ref" in field:
            name = field["$ref"].rpartition("/")[2]
            title = str(self._definitions[name]["title"])
            return f"[{self._sections[name]}](#{_anchor(self._sections[name])})" if name in self._sections else title
        for key in ("anyOf", "oneOf"):
            if key in field:
                members = [each for each in field[key] if each.get("type") != "null" and each != PARAMETER]
                return " or ".join(dict.fromkeys(map(self._type, members)))
        if "const" in field:
            return f"`{json.dumps(field['const'])}`"
        if "enum" in field:
            if field["enum"] == list(DATA_TYPES):
                return "[data type](#data-types)"
            return " ".join(f"`{value}`" for value in field["enum"])
        match field.get("type"):
            case "array":
                if "prefixItems" in field:
                    return f"list of {len(field['prefixItems'])} texts"
                return f"list of {self._type(field['items'])}"
            case "object":
                return "object"
            case "integer" | "number":
                return _range("whole number" if field["type"] == "integer" else "number", field)
            case "boolean":
                return "true or false"
            case "string":
                return _text(field)
        return "any value"


def _references(field: Any) -> Iterator[str]:
    if isinstance(field, dict):
        if "$ref" in field:
            yield field["$ref"].rpartition("/")[2]
        for each in field.values():
            yield from _references(each)
    elif isinstance(field, list):
        for each in field:
            yield from _references(each)


def _anchor(section: str) -> str:
    return section.lower().replace(" ", "-")


def _range(what: str, field: Schema) -> str:
    low, high = field.get("minimum"), field.get("maximum")
    if "exclusiveMinimum" in field:
        what = f"{what} above {field['exclusiveMinimum']:,}"
        return what if high is None else f"{what}, up to {high:,}"
    if low is not None and high is not None:
        return f"{what} {low:,} to {high:,}"
    return what if low is None else f"{what}, {low:,} or more"


def _text(field: Schema) -> str:
    pattern, examples = field.get("pattern", ""), field.get("examples", [""])
    if pattern == "^(?!__)":
        return "column"
    if examples[0] == "public.ds_orders":
        return "table"
    if "credentials" in pattern:
        return "`${credentials.NAME}`"
    return "text"


def _default(field: Schema) -> str:
    return f"`{json.dumps(field['default'], ensure_ascii=False)}`" if "default" in field else ""


def _inline(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
