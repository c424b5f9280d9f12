"""The worker type: runs are isolated forks, can be cancelled, and crashes are reported; Prefect may be down."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psutil
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling

from headrace.deployments.prefect.api import PrefectApi
from headrace.deployments.stack.environment import base_environment, prefect_client_environment
from headrace.deployments.stack.process import die_with_parent
from tests.conftest import command_of

pytestmark = [pytest.mark.stack, pytest.mark.skipif(sys.platform != "linux", reason="only Linux forks safely")]

FLOWS = Path(__file__).parent / "flows_for_tests"
PATIENCE = 120.0


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {PATIENCE:.0f} s: {what}")


class Gate:
    """A way to Prefect that can be closed: new connections are refused and open ones cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._open: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._lock = threading.Lock()
        self.port = 0
        self.open()

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=[self._listener], daemon=True).start()

    def close(self) -> None:
        assert self._listener is not None
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()
            self._open.clear()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                here, _ = listener.accept()
                there = socket.create_connection(("127.0.0.1", self._to))
                with self._lock:
                    if self._listener is not listener:  # it was closed while this one came in
                        here.close()
                        there.close()
                        return
                    self._open += [here, there]
                for source, target in ((here, there), (there, here)):
                    threading.Thread(target=self._pass_on, args=[source, target], daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@dataclass
class Worker:
    """A worker of our type on a pool of its own, and the Prefect it serves."""

    process: subprocess.Popen[bytes]
    pool: str
    client: SyncPrefectClient
    gate: Gate
    notes: Path

    @property
    def fork_server(self) -> int:
        return next(
            each.pid
            for each in psutil.Process(self.process.pid).children()
            if "fork_server" in " ".join(command_of(each))
        )

    def start(self, flow: str) -> tuple[UUID, Path]:
        """Starts a run of one of the flows for tests; returns its id and the file it writes to."""
        flow_id = self.client.create_flow_from_name(f"test {flow}")
        deployment = self.client.create_deployment(
            flow_id=flow_id,
            name=self.pool,
            entrypoint=f"worker_flows.{flow}",
            pull_steps=[],
            work_pool_name=self.pool,
        )
        note = self.notes / uuid4().hex
        run = self.client.create_flow_run_from_deployment(deployment, parameters={"note": str(note)})
        return run.id, note

    def ended(self, run_id: UUID) -> FlowRun:
        def final() -> FlowRun | None:
            run = self.client.read_flow_run(run_id)
            return run if run.state is not None and run.state.is_final() else None

        run: FlowRun = until(final, "the run ends")
        return run


@pytest.fixture
def start_worker(stack: Any, tmp_path: Path) -> Iterator[Callable[[], Worker]]:
    started: list[Worker] = []

    def start() -> Worker:
        gate = Gate(urlsplit(stack.prefect_url).port or 0)
        pool = f"pool-{uuid4().hex[:8]}"
        api = PrefectApi(f"http://127.0.0.1:{gate.port}/api", stack.prefect_auth_string)
        environment = base_environment() | prefect_client_environment(tmp_path / "prefect", api)
        environment["PYTHONPATH"] = os.pathsep.join([str(FLOWS), environment.get("PYTHONPATH", "")])
        read_end, write_end = os.pipe()
        with (tmp_path / "worker.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", str(FLOWS / "worker_for_tests.py"), pool, str(write_end)],
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[write_end],
                preexec_fn=die_with_parent(signal.SIGKILL),  # noqa: PLW1509
            )
        os.close(write_end)
        worker = Worker(process, pool, stack.prefect_client(), gate, tmp_path)
        started.append(worker)
        with os.fdopen(read_end, "rb") as pipe:
            assert pipe.read(1) == b"1", (tmp_path / "worker.log").read_text()
        return worker

    try:
        yield start
    finally:
        for worker in started:
            worker.process.kill()
            worker.process.wait()
            worker.gate.close()


@pytest.mark.slow
def test_runs_are_forks_and_whatever_befalls_them_is_reported(start_worker: Callable[[], Worker]) -> None:
    worker = start_worker()

    run_id, note = worker.start("report")
    assert worker.ended(run_id).state_name == "Completed"
    pid, parent = note.read_text().split(" ")
    assert int(parent) == worker.fork_server
    assert int(pid) not in {worker.fork_server, worker.process.pid}

    run_id, note = worker.start("with_tasks")
    assert worker.ended(run_id).state_name == "Completed"
    assert note.read_text() == "56"

    run_id, note = worker.start("killed")
    run = worker.ended(run_id)
    assert run.state is not None
    assert run.state_name == "Crashed"
    assert "SIGKILL" in (run.state.message or "")

    run_id, note = worker.start("broken")
    run = worker.ended(run_id)
    assert run.state is not None
    assert (run.state_name, "nothing to write to" in (run.state.message or "")) == ("Failed", True)

    run_id, note = worker.start("endless")
    pid = until(lambda: note.exists() and note.read_text(), "the run is in its flow")
    worker.client.set_flow_run_state(run_id, Cancelling())
    assert worker.ended(run_id).state_name == "Cancelled"
    until(lambda: not psutil.pid_exists(int(pid)), "the cancelled run's process is gone")


@pytest.mark.slow
def test_a_prefect_that_goes_away_and_comes_back_is_no_reason_to_stop(start_worker: Callable[[], Worker]) -> None:
    worker = start_worker()
    worker.gate.close()
    run_id, note = worker.start("report")
    time.sleep(4)  # several polls find nobody; Prefect's own worker would by now be counting down to its end
    assert not note.exists()
    assert worker.process.poll() is None
    worker.gate.open()
    assert worker.ended(run_id).state_name == "Completed"


@pytest.mark.slow
def test_a_lost_zygote_is_replaced_and_its_runs_are_reported_as_crashed(start_worker: Callable[[], Worker]) -> None:
    worker = start_worker()
    run_id, note = worker.start("endless")
    pid = until(lambda: note.exists() and note.read_text(), "the run is in its flow")
    fork_server = worker.fork_server
    os.kill(fork_server, signal.SIGKILL)
    assert worker.ended(run_id).state_name == "Crashed"
    until(lambda: not psutil.pid_exists(int(pid)), "the run is gone with its fork server")
    run_id, note = worker.start("report")
    assert worker.ended(run_id).state_name == "Completed"
    assert int(note.read_text().split(" ")[1]) == worker.fork_server != fork_server


@pytest.mark.slow
def test_a_stopped_worker_stops_its_runs_and_says_so(start_worker: Callable[[], Worker]) -> None:
    worker = start_worker()
    run_id, note = worker.start("endless")
    pid = until(lambda: note.exists() and note.read_text(), "the run is in its flow")
    fork_server = worker.fork_server
    worker.process.terminate()
    assert worker.process.wait(PATIENCE) == 0
    assert worker.client.read_flow_run(run_id).state_name == "Crashed"
    assert not psutil.pid_exists(int(pid))
    assert not psutil.pid_exists(fork_server)


def test_a_killed_worker_leaves_no_process(start_worker: Callable[[], Worker]) -> None:
    worker = start_worker()
    _, note = worker.start("endless")
    pid = until(lambda: note.exists() and note.read_text(), "the run is in its flow")
    fork_server = worker.fork_server
    worker.process.kill()
    worker.process.wait()
    until(
        lambda: not psutil.pid_exists(int(pid)) and not psutil.pid_exists(fork_server), "fork server and run are gone"
    )
