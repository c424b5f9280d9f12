"""The command line: exit codes, and messages instead of tracebacks."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest

from headrace.deployments.stack.environment import base_environment
from tests.program import headrace_here


def headrace(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in base_environment().items() if not name.startswith("HEADRACE_")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "headrace.deployments.cli.app", *arguments],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


# Forks itself for each command line, so that the imports of the command are paid for once.
FORKS = """
import json, os, sys
from headrace.deployments.cli.app import main
for arguments in json.loads(sys.argv[1]):
    read, write = os.pipe()
    if not os.fork():
        os.dup2(write, 1)
        os.dup2(write, 2)
        os.close(read)
        os.close(write)
        sys.argv = ["headrace", *arguments]
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        print("\\n" + json.dumps([code, sorted(sys.modules)]), flush=True)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text, _, line = pipe.read().strip().rpartition("\\n")
    os.wait()
    print(json.dumps([text, *json.loads(line)]))
"""
QUICK = [
    ["--help"],
    ["--version"],
    *([name, "--help"] for name in ("up", "down", "demo", "worker", "apply", "run", "doctor")),
    ["db", "--help"],
]
WRONG = [["up", "--port", "70000"], ["up", "--no-such"], ["sideways"]]


@pytest.fixture(scope="module")
def answers() -> dict[str, tuple[str, int, set[str]]]:
    """What is printed, the exit code and the modules that are imported then, by command line."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", FORKS, json.dumps(QUICK + WRONG)],
        env=base_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    reported = [json.loads(line) for line in done.stdout.splitlines()]
    return {
        " ".join(each): (text, code, set(modules))
        for each, (text, code, modules) in zip(QUICK + WRONG, reported, strict=True)
    }


@pytest.mark.parametrize("arguments", [" ".join(each) for each in QUICK])
def test_help_and_version_are_quick_and_import_no_engine(
    answers: dict[str, tuple[str, int, set[str]]], arguments: str
) -> None:
    text, code, imported = answers[arguments]
    assert code == 0
    assert text.strip()
    assert not imported & {"prefect", "polars", "sqlalchemy", "fastapi", "pyarrow"}


@pytest.mark.parametrize("arguments", [" ".join(each) for each in WRONG])
def test_wrong_usage_is_2(answers: dict[str, tuple[str, int, set[str]]], arguments: str) -> None:
    text, code, _ = answers[arguments]
    assert code == 2
    assert text.strip()


def test_down_without_a_stack_is_not_an_error(tmp_path: Path) -> None:
    done = headrace_here("down", "--data-dir", str(tmp_path / "none"))
    assert (done.returncode, "no stack runs" in done.stdout) == (0, True)
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_an_unreachable_database_is_a_message(tmp_path: Path) -> None:
    url = "postgresql://nobody:secret@127.0.0.1:9/none"
    arguments = ["--data-dir", str(tmp_path), "--port", "0", "--prefect-port", "0"]
    done = headrace("up", *arguments, HEADRACE_DATABASE_URL=url)
    assert done.returncode == 1
    assert "The database cannot be used" in done.stderr
    assert "HEADRACE_DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
    detached = headrace("up", *arguments, "--detach", HEADRACE_DATABASE_URL=url)
    assert (detached.returncode, detached.stderr) == (1, done.stderr)


def test_a_worker_without_a_prefect_says_what_to_set() -> None:
    done = headrace_here("worker")
    assert done.returncode == 1
    assert "HEADRACE_PREFECT_API_URL" in done.stderr


def test_upgrading_needs_a_database(tmp_path: Path) -> None:
    done = headrace_here("db", "upgrade", "--data-dir", str(tmp_path))
    assert done.returncode == 1
    assert "HEADRACE_DATABASE_URL" in done.stderr


@pytest.mark.postgres
def test_upgrading_brings_the_catalog(owner_url: str) -> None:
    for program in (headrace, headrace_here):
        done = program("db", "upgrade", HEADRACE_DATABASE_URL=owner_url)
        assert (done.returncode, done.stderr) == (0, "")
    with psycopg.connect(owner_url) as connection:
        found = connection.execute("SELECT to_regclass('headrace.pipelines') IS NOT NULL").fetchone()
    assert found == (True,)


def test_help_wraps_paragraphs_at_the_width_of_the_terminal() -> None:
    shown = headrace("validate", "--help", COLUMNS="100", TERMINAL_WIDTH="100").stdout
    lines = [line.strip() for line in shown.splitlines()]
    start = lines.index(next(line for line in lines if line.startswith("What needs the stack's")))
    paragraph = lines[start : lines.index("", start)]
    assert all(len(f"{line} {following.split()[0]}") > 90 for line, following in pairwise(paragraph))
