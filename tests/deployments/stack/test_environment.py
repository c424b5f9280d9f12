"""The environment of the stack's processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from headrace.deployments.cli.app import app
from headrace.deployments.stack.environment import base_environment, ignored_settings, without_headrace_settings

_ZONES = """
from zoneinfo import TZPATH, ZoneInfo, available_timezones
ZoneInfo("America/Los_Angeles")
print(len(TZPATH), len(available_timezones()) > 500)
"""


def test_time_zones_come_from_the_package_and_are_all_there() -> None:
    command = [sys.executable, "-P", "-c", _ZONES]
    done = subprocess.run(command, env=base_environment(), capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "True"]


def test_what_would_steer_prefect_is_left_out() -> None:
    assert not [name for name in base_environment() if name.startswith("PREFECT")]


def test_what_a_stack_does_not_use_is_reported_without_its_value(tmp_path: Path) -> None:
    given = {
        "HEADRACE_PREFECT_API_URL": "http://prefect.example:4200/api",
        "HEADRACE_WORK_POOL": "mine",
        "PREFECT_API_AUTH_STRING": "me:s3cret",
        "PREFECT_LOGGING_LEVEL": "",
        "HEADRACE_DATABASE_URL": "postgresql://127.0.0.1:1/none",
        "HEADRACE_FILES_ROOT": str(tmp_path),
    }
    result = CliRunner().invoke(app, ["up", "--data-dir", str(tmp_path / "data"), "--port", "0"], env=given)
    assert result.exit_code != 0  # there is no such database
    reported = [line for line in result.stderr.splitlines() if "is not used" in line]
    assert reported == [
        "HEADRACE_PREFECT_API_URL is not used: the stack starts a Prefect server of its own.",
        "HEADRACE_WORK_POOL is not used: the pool of the stack is 'headrace'.",
        "PREFECT_API_AUTH_STRING is not used: the stack's Prefect has settings of its own.",
    ]
    assert "s3cret" not in result.output
    assert ignored_settings({"PATH": "p", "HEADRACE_WORK_POOL": ""}) == []


def test_prefects_server_is_given_none_of_our_secrets() -> None:
    ours = {"HEADRACE_ENCRYPTION_KEYS": "k", "HEADRACE_DATABASE_URL": "u", "HEADRACE_PREFECT_HOSTS": "h", "PATH": "p"}
    assert without_headrace_settings(ours) == {"HEADRACE_PREFECT_HOSTS": "h", "PATH": "p"}
