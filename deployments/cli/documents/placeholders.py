"""`${NAME}` in connectors' settings and credentials: replaced from the environment, so that files have no secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from headrace.ir.problems import Problem

_PLACEHOLDER = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BLOCK = "prefect:"


def expand(value: Any, path: str, environment: Mapping[str, str], problems: list[Problem]) -> Any:
    """The value with all placeholders in its texts replaced; failures are added to `problems`.

    `$${` is a literal `${`. A text that is only `${prefect:secret/name}` becomes a reference to that block of Prefect,
    which each run resolves.
    """
    if isinstance(value, dict):
        return {name: expand(each, f"{path}.{name}", environment, problems) for name, each in value.items()}
    if isinstance(value, list):
        return [expand(each, f"{path}[{index}]", environment, problems) for index, each in enumerate(value)]
    if not isinstance(value, str):
        return value
    whole = _PLACEHOLDER.fullmatch(value)
    if whole is not None and (whole[1] or "").startswith(_BLOCK):
        from headrace.connectors.errors import SourceError
        from headrace.flows.prefect.block_references import SCHEME, BlockReference

        try:
            return str(BlockReference.parse(SCHEME + whole[1].removeprefix(_BLOCK)))
        except SourceError as error:
            problems.append(Problem(path, error.code, error.message, "write ${prefect:<block type>/<name>[/<field>]}"))
            return value

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name is None:
            return "${"
        if name.startswith(_BLOCK):
            message = f"'{match[0]}' refers to a Prefect block inside a longer text"
            problems.append(Problem(path, "unsupported_reference", message, "a reference is the whole value"))
        elif not _VARIABLE.fullmatch(name):
            hint = "${NAME} is a variable; write $${ for a literal ${"
            problems.append(Problem(path, "invalid_placeholder", f"'{match[0]}' names no variable", hint))
        elif name not in environment:
            problems.append(Problem(path, "missing_variable", f"The environment has no variable {name}", "set it"))
        else:
            return environment[name]
        return match[0]

    return _PLACEHOLDER.sub(fill, value)


def settings_with_placeholders(settings: Mapping[str, Any]) -> frozenset[str]:
    """The names of top-level settings that contain a placeholder."""
    return frozenset(
        name for name, value in settings.items() if any(_PLACEHOLDER.search(text) for text in _texts_in(value))
    )


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts_in(each)


def placeholder(connector: str, setting: str) -> str:
    """The placeholder of a secret in an exported file: `${SHOP_DB_PASSWORD}`."""
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", f"{connector}_{setting}")
    return "${" + (re.sub(r"[^A-Za-z0-9]+", "_", words).strip("_").upper() or "SECRET") + "}"


def escaped(value: Any) -> Any:
    """The value with `${` in its texts escaped as `$${`, so that it is read back unchanged."""
    if isinstance(value, dict):
        return {name: escaped(each) for name, each in value.items()}
    if isinstance(value, list):
        return [escaped(each) for each in value]
    return value.replace("${", "$${") if isinstance(value, str) else value
