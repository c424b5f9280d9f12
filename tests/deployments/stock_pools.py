"""Pools that Prefect's own process workers serve, beside a stack."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from headrace.deployments.stack.environment import base_environment, headrace_environment, prefect_client_environment
from tests.conftest import RunningStack
from tests.databases import run_settings


class Prefect:
    """Prefect's own command line beside the stack, with what a run needs to find the catalog and the files."""

    def __init__(self, stack: RunningStack, folder: Path) -> None:
        self.folder = folder
        self.environment = base_environment() | prefect_client_environment(folder / "home", stack.prefect_api)
        self.environment |= headrace_environment(run_settings(stack.data_dir, stack.database_url))
        self.environment |= {"HEADRACE_FILES_ROOT": str(stack.files_root)}

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "prefect", *arguments]
        with (self.folder / "prefect.log").open("ab") as log:
            return subprocess.Popen(
                command, env=self.environment, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT
            )

    def __call__(self, *arguments: str) -> None:
        assert self.start(*arguments).wait(150) == 0, (self.folder / "prefect.log").read_text()


@pytest.fixture
def cli(stack: RunningStack, tmp_path: Path) -> Prefect:
    return Prefect(stack, tmp_path)


@pytest.fixture
def stock_pool(cli: Prefect) -> Iterator[str]:
    """The name of a pool that `prefect worker start --type process` serves."""
    pool = f"stock-{uuid4().hex[:8]}"
    worker = cli.start("worker", "start", "--pool", pool, "--type", "process")
    try:
        yield pool
    finally:
        worker.terminate()
        worker.wait(60)
