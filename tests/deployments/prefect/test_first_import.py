"""Prefect is imported on first use, also when several threads need it at the same time."""

from __future__ import annotations

import subprocess
import sys

from headrace.deployments.stack.environment import base_environment

TOGETHER = """
import threading
from headrace.deployments.prefect.orchestrator import Orchestrator, OrchestratorAway
from headrace.deployments.prefect.api import PrefectApi

def call(ask):
    together.wait()
    try:
        ask()
    except OrchestratorAway:
        answers.append("away")

answers = []
orchestrator = Orchestrator(PrefectApi("http://127.0.0.1:9/api"))
asked = [lambda: orchestrator.states(["run_" + "0" * 32]), orchestrator.registered]
together = threading.Barrier(len(asked))
threads = [threading.Thread(target=call, args=(ask,)) for ask in asked]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(*answers)
"""


def test_two_threads_that_need_prefect_first_do_not_break_its_import() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", TOGETHER],
        env=base_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.stdout, done.stderr) == ("away away\n", "")
