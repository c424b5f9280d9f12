"""YAML in and out, without YAML's surprises: dates, `no` and `12:30` stay strings, and a key given twice is a fault."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

# What JSON has, and nothing more (YAML 1.1 takes `on`, `1_000`, `010` and `2026-01-05` for other things than text).
_RESOLVERS = (
    ("tag:yaml.org,2002:null", r"~|null|", ["~", "n", ""]),
    ("tag:yaml.org,2002:bool", r"true|false", ["t", "f"]),
    ("tag:yaml.org,2002:int", r"-?(0|[1-9][0-9]*)", list("-0123456789")),
    ("tag:yaml.org,2002:float", r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", list("-0123456789")),
    ("tag:yaml.org,2002:merge", r"<<", ["<"]),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers: dict[str, Any] = {}

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _kind in (_Loader, _Dumper):
    for _tag, _pattern, _first in _RESOLVERS:
        _kind.add_implicit_resolver(_tag, re.compile(rf"(?:{_pattern})\Z"), _first)


# To YAML these are line breaks, or nothing a file may hold.
_BREAKS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = '"' if _BREAKS.search(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


class YamlFault(Exception):
    """The text is no YAML, or names a key twice. `line` counts from 1."""

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.message, self.line = message, line


def read_yaml(text: str) -> Iterator[tuple[Any, dict[str, int]]]:
    """Every document that is not empty, and at which line each JSON path in it begins. Raises YamlFault."""
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            assert node is not None, "there is one more"
            lines: dict[str, int] = {}
            _locate(node, "", lines)
            value = loader.construct_document(node)
            if value is not None:
                yield value, lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlFault(error.problem or str(error), mark.line + 1 if mark is not None else None) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise YamlFault(str(error).splitlines()[0], None) from None
    finally:
        loader.dispose()


def write_yaml(document: Any) -> str:
    """The document in block style, in the order it has."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return text


def _locate(node: yaml.Node, path: str, lines: dict[str, int]) -> None:
    if path in lines:  # an alias to what holds it
        return
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            if name in seen and name != "<<":
                raise YamlFault(f"'{name}' is given twice", key.start_mark.line + 1)
            seen.add(name)
            _locate(value, f"{path}.{name}" if path else name, lines)
            lines[f"{path}.{name}" if path else name] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _locate(value, f"{path}[{index}]", lines)
