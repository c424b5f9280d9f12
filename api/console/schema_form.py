"""Forms made from JSON Schemas: the fields of an object, and the object that a form means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from headrace.api.errors import invalid

Kind = Literal["text", "long", "integer", "number", "boolean", "choice", "secret", "long_secret", "list", "json"]
_LONG = 10_000
"""Texts that may be longer than this, such as certificates, have several lines."""
_WORDS = {each.lower(): each for each in ("URL", "URLs", "SSL", "STS", "API", "HTTP", "TLS")} | {"sslmode": "SSL mode"}
_BLOCKS_OF_LINES = ("privateKey", "sslCert", "sslKey", "serviceAccount")


@dataclass(frozen=True, slots=True)
class FormField:
    """A field: its name in the form and in the object, how it is entered, and what it holds now. A secret is never
    shown, so `value` is empty for one."""

    field: str
    name: str
    label: str
    kind: Kind
    required: bool
    help: str
    choices: tuple[str, ...] = ()
    default: str = ""
    value: str = ""
    least: str = ""
    most: str = ""


def fields_of(
    schema: Mapping[str, Any],
    prefix: str,
    values: Mapping[str, Any],
    *,
    secret: bool = False,
    optional: bool = False,
) -> list[FormField]:
    """The fields of an object's schema, those that are required first. `values` are what it has now; with `secret` all
    of them are credentials, which are never shown. `optional`: which are required depends on something else."""
    required = set() if optional else set(schema.get("required", ()))
    found = []
    for name, given in schema.get("properties", {}).items():
        part = _resolved(given, schema)
        kind = _kind(name, part)
        default = part.get("default")
        hidden = secret or kind in ("secret", "long_secret")
        found.append(
            FormField(
                field=f"{prefix}{name}",
                name=name,
                label=label_of(name),
                kind=kind,
                required=name in required,
                help=str(part.get("description", "")),
                choices=tuple(str(each) for each in part.get("enum", ())),
                default="" if default in (None, "", [], {}) else _text(default, kind),
                value="" if hidden or values.get(name) is None else _text(values[name], kind),
                least=str(part.get("minimum", "")),
                most=str(part.get("maximum", "")),
            )
        )
    return sorted(found, key=lambda each: not each.required)


def values_of(schema: Mapping[str, Any], prefix: str, form: Mapping[str, str]) -> dict[str, Any]:
    """The object that a form means; fields that are empty are left out. Raises ApiError 400 for a text that is not of
    its kind, naming the field and not what it holds."""
    found: dict[str, Any] = {}
    for name, given in schema.get("properties", {}).items():
        part = _resolved(given, schema)
        kind = _kind(name, part)
        text = form.get(f"{prefix}{name}", "")
        text = text if kind in ("secret", "long_secret") else text.strip()
        if text == "":
            continue
        found[name] = _value(name, kind, part, text)
    return found


def label_of(name: str) -> str:
    """`accessKeyId` as people write it: `Access key id`."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).split()
    text = " ".join(_WORDS.get(each, each) for each in words)
    return text[:1].upper() + text[1:]


def _resolved(part: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Without the alternative that it is null, and with references replaced by what they refer to."""
    found = dict(part)
    for _ in range(4):
        if "anyOf" in found:
            others = [each for each in found.pop("anyOf") if each.get("type") != "null"]
            objects = [each for each in others if each.get("type") == "object"]
            found = {**(objects[0] if objects else others[0] if others else {}), **found}
        elif "$ref" in found:
            named = str(found.pop("$ref")).rsplit("/", 1)[-1]
            found = {**schema.get("$defs", {}).get(named, {}), **found}
        else:
            break
    return found


def _kind(name: str, part: Mapping[str, Any]) -> Kind:
    if part.get("writeOnly") or part.get("format") == "password":
        return "long_secret" if name in _BLOCKS_OF_LINES else "secret"
    if name in _BLOCKS_OF_LINES:
        return "long_secret"
    if part.get("enum"):
        return "choice"
    match part.get("type"):
        case "boolean" | "integer" | "number" as simple:
            return simple  # type: ignore[no-any-return]
        case "string":
            return "long" if part.get("maxLength", 0) >= _LONG else "text"
        case "array" if _resolved(part.get("items", {}), {}).get("type") == "string":
            return "list"
    return "json"


def _text(value: Any, kind: Kind) -> str:
    if kind == "list" and isinstance(value, list):
        return "\n".join(map(str, value))
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _value(name: str, kind: Kind, part: Mapping[str, Any], text: str) -> Any:
    match kind:
        case "boolean":
            return text == "true"
        case "integer" | "number":
            try:
                return int(text) if kind == "integer" else float(text)
            except ValueError:
                raise invalid(f"config.{name}", "not_a_number", f"'{label_of(name)}' is not a number") from None
        case "list":
            return [line.strip() for line in text.splitlines() if line.strip()]
        case "json":
            return _decoded(name, text)
        case "long_secret" if part.get("type") == "object" and text.lstrip().startswith("{"):
            return _decoded(name, text)
    return text.replace("\r\n", "\n")


def _decoded(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        message = f"'{label_of(name)}' is not JSON"
        raise invalid(name, "malformed", message, 'an object is written {"name": "value"}') from None
