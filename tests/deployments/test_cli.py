"""The command line: exit codes, and messages instead of tracebacks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from deployments.stack.environment import base_environment


def headrace(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in base_environment().items() if not name.startswith("HEADRACE_")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "deployments.cli", *arguments],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        *([name, "--help"] for name in ("up", "down", "demo", "worker", "apply", "run", "doctor")),
        ["db", "--help"],
    ],
    ids=" ".join,
)
def test_help_and_version_are_quick_and_import_no_engine(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-P", "-m", "deployments.cli", *arguments],
        env=base_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert not imported & {"prefect", "polars", "sqlalchemy", "fastapi", "pyarrow"}


@pytest.mark.parametrize("arguments", [["up", "--port", "70000"], ["up", "--no-such"], ["sideways"]], ids=" ".join)
def test_wrong_usage_is_2(arguments: list[str]) -> None:
    assert headrace(*arguments).returncode == 2


def test_down_without_a_stack_is_not_an_error(tmp_path: Path) -> None:
    done = headrace("down", "--data-dir", str(tmp_path / "none"))
    assert (done.returncode, "no stack runs" in done.stdout) == (0, True)
    assert not (tmp_path / "none").exists()


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
    done = headrace("worker")
    assert done.returncode == 1
    assert "HEADRACE_PREFECT_API_URL" in done.stderr


def test_upgrading_needs_a_database(tmp_path: Path) -> None:
    done = headrace("db", "upgrade", "--data-dir", str(tmp_path))
    assert done.returncode == 1
    assert "HEADRACE_DATABASE_URL" in done.stderr


@pytest.mark.postgres
def test_upgrading_brings_the_catalog(database_url: str) -> None:
    for _ in range(2):
        done = headrace("db", "upgrade", HEADRACE_DATABASE_URL=database_url)
        assert (done.returncode, done.stderr) == (0, "")
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT to_regclass('headrace.pipelines') IS NOT NULL").fetchone()
    assert found == (True,)
