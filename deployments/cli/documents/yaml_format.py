"""Reads and writes YAML with JSON's types: dates, `no` and `12:30` are strings, and a duplicate key is a fault."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from headrace.deployments.cli.documents.yaml_limits import ParseFault, check_limits

_MERGE = "tag:yaml.org,2002:merge"

# JSON's types only (in YAML 1.1 `on`, `1_000`, `010` and `2026-01-05` are not texts).
_RESOLVERS = (
    ("tag:yaml.org,2002:null", r"~|null|", ["~", "n", ""]),
    ("tag:yaml.org,2002:bool", r"true|false", ["t", "f"]),
    ("tag:yaml.org,2002:int", r"-?(0|[1-9][0-9]*)", list("-0123456789")),
    ("tag:yaml.org,2002:float", r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", list("-0123456789")),
    (_MERGE, r"<<", ["<"]),
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


# Line breaks of YAML, or characters that a file may not contain.
_BREAKS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]")


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = '"' if _BREAKS.search(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def read_yaml(text: str) -> Iterator[tuple[Any, dict[str, int]]]:
    """All non-empty documents, each with the lines at which its JSON paths begin. Raises ParseFault."""
    loader: _Loader | None = None
    try:
        check_limits(yaml.parse(text, Loader=_Loader))
        loader = _Loader(text)
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
        raise ParseFault(error.problem or str(error), mark.line + 1 if mark is not None else None) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = error.character if isinstance(error.character, int) else ord(error.character)
        hint = 'write it as an escape between double quotes, such as "\\x07", or leave it out'
        raise ParseFault(f"The character U+{code:04X} is not allowed in YAML", line, hint) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ParseFault(str(error).splitlines()[0], None) from None
    finally:
        if loader is not None:
            loader.dispose()


def write_yaml(document: Any) -> str:
    """The document as YAML in block style, with its keys in their order."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    return text


def _locate(node: yaml.Node, path: str, lines: dict[str, int]) -> None:
    if path in lines:  # an alias to a parent
        return
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ParseFault("A key is a text", key.start_mark.line + 1, "as in JSON")
            if key.tag != _MERGE:  # also for keys that look like numbers
                key.tag = "tag:yaml.org,2002:str"
            name = str(key.value)
            if name in seen and key.tag != _MERGE:
                raise ParseFault(f"'{name}' is given twice", key.start_mark.line + 1)
            seen.add(name)
            _locate(value, f"{path}.{name}" if path else name, lines)
            lines[f"{path}.{name}" if path else name] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _locate(value, f"{path}[{index}]", lines)
