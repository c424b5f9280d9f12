"""Installations with some extras of pyproject.toml, made of links to what is installed here: nothing is downloaded."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).parents[2]


def project() -> dict[str, object]:
    """The table `project` of pyproject.toml."""
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        found: dict[str, object] = tomllib.load(file)["project"]
    return found


def declared(extra: str | None = None, **environment: str) -> list[Requirement]:
    """What the project, or one extra of it, asks for here, or in another `environment` (`python_version`); extras that
    are made of others are resolved."""
    table = project()
    lines = table["dependencies"] if extra is None else table["optional-dependencies"][extra]  # type: ignore[index]
    found: list[Requirement] = []
    for each in map(Requirement, lines):  # type: ignore[call-overload]
        if each.name == "headrace":
            found += [inner for name in sorted(each.extras) for inner in declared(name, **environment)]
        elif each.marker is None or each.marker.evaluate(environment):
            found.append(each)
    return found


def closure(wanted: Iterable[Requirement], **environment: str) -> dict[str, Distribution]:
    """The distributions that an installer would bring for the requirements, by name."""
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = list(wanted)
    while waiting:
        each = waiting.pop()
        name = canonicalize_name(each.name)
        if (name, frozenset(each.extras)) in seen:
            continue
        seen.add((name, frozenset(each.extras)))
        found[name] = distribution(name)
        for text in found[name].requires or ():
            inner = Requirement(text)
            extras = ("", *each.extras)
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra, **environment}) for extra in extras):
                waiting.append(inner)
    return found


@dataclass(frozen=True, slots=True)
class Installation:
    """A folder on the import path, in place of this environment's packages."""

    site: Path

    def run(self, *arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        """What the interpreter says with these arguments, with nothing to import but what is installed."""
        return subprocess.run(
            [sys.executable, "-S", "-P", *arguments],
            cwd=cwd or self.site,
            env={name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "PYTHON"))}
            | {"PYTHONPATH": str(self.site), "COLUMNS": "200"}
            | environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


def installed(folder: Path, *extras: str) -> Installation:
    """`pip install headrace`, or `headrace[extras]`, into a folder."""
    wanted = declared()
    for extra in extras:
        wanted += declared(extra)
    for found in closure(wanted).values():
        for entry in sorted(_tops(found)):
            target, link = Path(str(found.locate_file(entry))), folder / entry
            if target.exists() and not link.exists():
                link.symlink_to(target)
    (folder / "headrace").symlink_to(REPOSITORY / "headrace")
    return Installation(folder)


def _tops(found: Distribution) -> Iterator[str]:
    yield from {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__", "bin")}
