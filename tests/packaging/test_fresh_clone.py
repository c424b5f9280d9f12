"""The commands of README and `make help`, run in a fresh copy of the checkout."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace.deployments.stack.environment import base_environment
from tests.docs.pages import ROOT, blocks, targets
from tests.rest import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

_NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist")
README, CLI = ROOT / "README.md", ROOT / "docs" / "cli.md"

Make = Callable[..., str]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy without what tools have left in the checkout."""
    folder = tmp_path_factory.mktemp("fresh") / "headrace"
    shutil.copytree(ROOT, folder, symlinks=True, ignore=_NOT_COPIED)
    return folder


@pytest.fixture(scope="module")
def environment(clone: Path) -> dict[str, str]:
    """That of a terminal: of what tests or another checkout have set, nothing."""
    kept = {name: value for name, value in base_environment().items() if not name.startswith(("HEADRACE", "PYTHON"))}
    kept = {name: value for name, value in kept.items() if not name.startswith(("MAKE", "MFLAGS", "VIRTUAL_ENV"))}
    return kept | {"PATH": os.pathsep.join([str(clone / ".venv" / "bin"), kept["PATH"]])}


def given(*arguments: str) -> list[str]:
    python = f"PYTHON={getattr(sys, '_base_executable', sys.executable)}"
    return ["make", *arguments, python, "PORT=0", "PREFECT_PORT=0"]


@pytest.fixture(scope="module")
def make(clone: Path, environment: dict[str, str]) -> Iterator[Make]:
    """`make` in the copy; it gives what is printed. A stack that is left running is stopped."""

    def run(*arguments: str) -> str:
        done = subprocess.run(
            given(*arguments), cwd=clone, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    yield run
    subprocess.run(given("down"), cwd=clone, env=environment, check=False)


def test_help_lists_the_targets_and_is_the_default(make: Make) -> None:
    listed = make("help")
    assert {line.split()[0] for line in listed.splitlines()} == targets()
    assert make() == listed


def test_what_the_readme_shows_works(make: Make, clone: Path, environment: dict[str, str]) -> None:
    make("setup")
    assert make("demo").count("ok  ") == 7
    rest, files = blocks(README)
    [ci] = blocks(CLI)

    def shell(text: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", "-c", text]
        return subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)

    reported = shell(rest)
    assert reported.returncode == 0, reported.stderr
    assert blocks(README, "")[0] in reported.stdout.replace("\r", "")
    assert '"failedRows": 2' in reported.stdout
    done = shell(files)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stdout + done.stderr
    assert (clone / "pipelines").is_dir()
    assert shell(ci).returncode == 3, "the run has rejected rows"
    assert "stopped the stack" in make("down")


def test_a_stack_in_the_foreground_ends_with_ctrl_c(make: Make, clone: Path, environment: dict[str, str]) -> None:
    make("setup")
    with subprocess.Popen(given("up"), cwd=clone, env=environment, start_new_session=True) as up:
        eventually(lambda: (clone / ".headrace" / "stack.json").exists() or None)
        os.killpg(up.pid, signal.SIGINT)
        up.wait(120)
    assert not (clone / ".headrace" / "stack.json").exists()


def test_what_is_written_by_tools_is_what_is_there(make: Make, clone: Path) -> None:
    for target in (make("docs"), make("format")):
        assert "Traceback" not in target
    for page in (*(ROOT / "docs").glob("*.*"), *(ROOT / "flows").rglob("*.py")):
        assert (clone / page.relative_to(ROOT)).read_bytes() == page.read_bytes(), page


def test_the_locks_are_resolved_again_and_everything_built_is_removed(make: Make, clone: Path) -> None:
    make("lock")
    for name, wanted in (("requirements.lock", "prefect=="), ("requirements-dev.lock", "pytest==")):
        assert wanted in (clone / name).read_text()
    make("clean")
    assert not (clone / ".venv").exists()
