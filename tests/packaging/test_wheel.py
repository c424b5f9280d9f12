"""The wheel beside somebody else's project: it brings one top-level name, and its commands find their own modules."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ROOMS = ("ir", "connectors", "catalog", "flows", "deployments", "api")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what the build reads, so that the checkout stays as it is."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    for name in (*ROOMS, "headrace"):
        shutil.copytree(
            REPOSITORY / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(source)], check=True, timeout=150)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the wheel is unpacked into, as an installer does."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A Prefect project with folders that are named like the rooms."""
    for room in ROOMS:
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text(f"MINE = {room!r}\n")
    (tmp_path / "flows" / "run.py").write_text("def run() -> str:\n    return 'my own flow'\n")
    return tmp_path


def python(project: Path, installed: Path, *arguments: str) -> str:
    """What an interpreter in the project's folder prints, with the wheel installed."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_has_one_top_level_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"headrace"}
    files = {name for name in names if name.endswith(".py")}
    assert {f"headrace/{room}/__init__.py" for room in ROOMS} <= files
    assert "headrace/catalog/migrations/script.py.mako" in names
    assert "headrace/py.typed" in names
    console = REPOSITORY / "api" / "console"
    for folder in ("templates", "static", "vendor"):
        assert {f"headrace/api/console/{folder}/{path.name}" for path in (console / folder).iterdir()} <= set(names)


def test_a_project_keeps_its_own_folders(project: Path, installed: Path) -> None:
    script = """
import api, catalog, connectors, deployments, flows.run, ir
print([room.MINE for room in (api, catalog, connectors, deployments, ir)], flows.run.run())
import headrace.flows.run, headrace.ir
print(headrace.__file__)
"""
    mine, ours = python(project, installed, "-c", script).splitlines()
    assert mine == "['api', 'catalog', 'connectors', 'deployments', 'ir'] my own flow"
    assert Path(ours).parent == installed / "headrace"


def test_the_command_works_inside_such_a_project(project: Path, installed: Path) -> None:
    assert python(project, installed, "-m", "headrace", "--version").strip()
    assert " doctor " in python(project, installed, "-m", "headrace", "--help")


def test_prefect_finds_the_worker_type_inside_such_a_project(project: Path, installed: Path) -> None:
    script = f"""
from importlib.metadata import distributions
[found] = [each for each in distributions(path=[{str(installed)!r}]) if each.name == "headrace"]
for entry in found.entry_points:
    print(entry.group, entry.load().__name__)
"""
    entries = python(project, installed, "-c", script).splitlines()
    assert entries == ["console_scripts main", "prefect.collections headrace.deployments.worker.type"]


@pytest.mark.slow
def test_no_module_of_ours_is_loaded_under_two_names(project: Path, installed: Path) -> None:
    script = f"""
import sys, headrace.api.app, headrace.deployments.cli.app, headrace.flows.run
print(sorted(name for name in sys.modules if name.split('.')[0] in {ROOMS!r}))
"""
    assert python(project, installed, "-P", "-c", script).strip() == "[]"
