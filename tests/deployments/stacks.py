"""Commands and processes of a stack."""

from __future__ import annotations

import subprocess

import psutil

from headrace.deployments.stack.environment import base_environment
from headrace.deployments.stack.state import StackState
from tests.conftest import HEADRACE, RunningStack


def headrace(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HEADRACE, *arguments],
        env=base_environment() | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )


def processes_of(state: StackState | RunningStack) -> list[psutil.Process]:
    supervisor = psutil.Process(state.pid)
    return [supervisor, *supervisor.children(recursive=True)]
