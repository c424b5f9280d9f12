"""The API process alone, as in a container."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from headrace.deployments.stack.environment import base_environment
from headrace.deployments.stack.ports import choose_port
from tests.conftest import HEADRACE
from tests.databases import Roles
from tests.rest import ask, eventually


def environment(**settings: str) -> dict[str, str]:
    clean = {name: value for name, value in base_environment().items() if not name.startswith("HEADRACE_")}
    return clean | {f"HEADRACE_{name.upper()}": value for name, value in settings.items()}


def test_missing_settings_are_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [*HEADRACE, "serve"], env=environment(), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1
    assert "HEADRACE_DATABASE_URL" in done.stderr
    assert "HEADRACE_KEY_PEPPER" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.postgres
def test_it_serves_without_prefect_and_ends_on_sigterm(migrated: Roles, tmp_path: Path) -> None:
    port = choose_port("127.0.0.1", 0, "--port")
    nobody = choose_port("127.0.0.1", 0, "--port", besides=port)
    settings = {"database_url": migrated.owner, "key_pepper": "p" * 32, "port": str(port)}
    process = subprocess.Popen(
        [*HEADRACE, "serve"],
        env=environment(**settings, prefect_api_url=f"http://127.0.0.1:{nobody}/api"),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:

        def health() -> int | None:
            try:
                return ask("GET", f"http://127.0.0.1:{port}/healthz").status_code
            except httpx.HTTPError:
                return None

        assert eventually(health) == 200
        assert ask("GET", f"http://127.0.0.1:{port}/readyz").status_code == 503
    finally:
        os.kill(process.pid, signal.SIGTERM)
        reported = process.communicate(timeout=90)[1]
    assert process.returncode in (0, -signal.SIGTERM)
    assert "does not answer" in reported
