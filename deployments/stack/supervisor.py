"""Runs the whole stack: starts its parts as early as each can, watches them, stops them in order.

One thread, no event loop: it waits by looking, twenty times a second. A part that dies is started again; one that dies
all the time, or while the stack starts, ends the stack.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from types import FrameType

import httpx
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from deployments.stack import environment as env
from deployments.stack.encryption import load_encryption_keys, settle_encryption_keys
from deployments.stack.errors import StackError
from deployments.stack.layout import DATABASE, PREFECT_DATABASE_SUFFIX, STACK_WORKER, WORK_POOL, Layout
from deployments.stack.lock import StackLock
from deployments.stack.lost_runs import LostRuns, end_lost_runs
from deployments.stack.options import StackOptions
from deployments.stack.part import Part
from deployments.stack.ports import choose_port, http_url
from deployments.stack.postgres import EmbeddedPostgres, ensure_database
from deployments.stack.process import last_lines, start_log
from deployments.stack.secrets import ensure_admin_key, load_pepper
from deployments.stack.state import StackState
from deployments.stack.zombies import ensure_zombie_automation
from deployments.worker.folders import sweep_run_folders

Report = Callable[[str], None]
"""Takes one line about how far the start or the stop is."""

_LOOK_SECONDS = 0.05
_PREFECT_SECONDS = 120.0
_WORKER_SECONDS = 90.0
_FACADE_SECONDS = 60.0
_FACADE = ("uvicorn", "api.app:create_app", "--factory", "--no-access-log", "--timeout-graceful-shutdown", "5")
_PYTHON = (sys.executable, "-P", "-m")


class _StopRequested(Exception):
    """Ctrl-C or a SIGTERM: not a failure."""


def run_stack(options: StackOptions, report: Report, ready: Callable[[StackState], None]) -> None:
    """Runs a stack until it is told to stop; calls `ready` once everything answers.

    Returns after a clean stop. Raises AlreadyRunning, and StackError for anything that did not start or ended.
    """
    layout = Layout.of(options.data_dir)
    layout.create()
    with StackLock(layout.lock):
        layout.state.unlink(missing_ok=True)  # a killed stack leaves one
        with _stop_signals() as stopping:
            Supervisor(options, layout, report, stopping).run(ready)


class Supervisor:
    """One start-to-stop of a stack on `layout`, whose lock the caller holds."""

    def __init__(self, options: StackOptions, layout: Layout, report: Report, stopping: Callable[[], bool]) -> None:
        self._options, self._layout, self._report, self._stopping = options, layout, report, stopping
        self._parts: list[Part] = []  # in the order they stop
        self._worker: Part | None = None
        self._postgres: EmbeddedPostgres | None = None
        self._lost_runs: LostRuns | None = None
        self._began, self._began_at = time.monotonic(), datetime.now(UTC)

    def run(self, ready: Callable[[StackState], None]) -> None:
        """Starts, calls `ready`, watches, stops. Raises StackError; everything is stopped then too."""
        try:
            state = self._start()
            state.write(self._layout.state)
            self._say("ready")
            ready(state)
            while True:
                self._wait()
                self._mend()
        except _StopRequested:
            self._say("stopping")
        finally:
            self._layout.state.unlink(missing_ok=True)
            self._stop()

    def _start(self) -> StackState:
        options, layout = self._options, self._layout
        prefect_port = choose_port("127.0.0.1", options.prefect_port, "--prefect-port")
        port = choose_port(options.host, options.port, "--port", besides=prefect_port)
        prefect_url, url = http_url("127.0.0.1", prefect_port), http_url(options.host, port)
        prefect_api_url = f"{prefect_url}/api"
        files_root = (options.files_root or layout.files).resolve()
        files_root.mkdir(parents=True, exist_ok=True)
        sweep_run_folders(layout.prefect_home)
        pepper = load_pepper(layout.secrets)
        # an operator's own keys are the operator's to rotate
        given_keys = os.environ.get("HEADRACE_ENCRYPTION_KEYS")
        encryption_keys = [given_keys] if given_keys else load_encryption_keys(layout.secrets)

        database_url, prefect_database_url = self._databases()
        base = env.base_environment()
        client = base | env.prefect_client_environment(layout.prefect_home, prefect_api_url)
        headrace = env.headrace_environment(
            {
                "database_url": database_url,
                "files_root": files_root,
                "key_pepper": pepper,
                "encryption_keys": ",".join(encryption_keys),
                "prefect_api_url": prefect_api_url,
                "work_pool": WORK_POOL,
                "host": options.host,
                "port": port,
            }
        )

        # Importing is what takes the time: Prefect and the worker do it at once, the migrations meanwhile here.
        server = base | env.prefect_server_environment(layout.prefect_home, prefect_api_url, prefect_database_url)
        prefect = self._launch(
            "prefect",
            "The Prefect server",
            ["deployments.stack.prefect_server", "start", "--host", "127.0.0.1", "--port", str(prefect_port)],
            environment=server,
            stop_seconds=15,
        )
        read_end, write_end = os.pipe()
        worker = self._worker = self._launch(
            "worker",
            "The worker",
            ["deployments.worker", "--pool", WORK_POOL, "--name", STACK_WORKER],
            "--ready-fd",
            str(write_end),
            environment=client | headrace,
            stop_seconds=40,
            pass_fds=[write_end],
        )
        os.close(write_end)
        self._prepare_catalog(database_url)
        settle_encryption_keys(layout.secrets, encryption_keys, database_url)
        api_key = ensure_admin_key(layout.secrets, database_url, pepper)
        facade = self._launch(
            "facade",
            "The facade",
            [*_FACADE, "--host", options.host, "--port", str(port)],
            environment=client | headrace,
            stop_seconds=15,
        )

        self._until(lambda: _answers(f"{prefect_api_url}/ready"), _PREFECT_SECONDS, prefect)
        self._say(f"Prefect at {prefect_url}")
        try:
            ensure_zombie_automation(prefect_api_url)
            self._lost_runs = LostRuns(prefect_api_url, pool=WORK_POOL, worker=STACK_WORKER)
            lost = end_lost_runs(prefect_api_url, pool=WORK_POOL, worker=STACK_WORKER, before=self._began_at)
        except httpx.HTTPError as error:
            raise StackError(f"Prefect could not be told of lost runs: {error}") from None
        if lost:
            self._say(f"{lost} run(s) that the last stack left unfinished marked as crashed")
        with os.fdopen(read_end, "rb", buffering=0) as pipe:
            os.set_blocking(read_end, False)
            self._until(lambda: bool(pipe.read(1)), _WORKER_SECONDS, worker)
        self._say(f"worker on pool {WORK_POOL}")
        self._until(lambda: _answers(f"{url}/readyz"), _FACADE_SECONDS, facade)
        self._say(f"API at {url}")
        return StackState(
            api_url=f"{url}/api/v1",
            api_key=api_key,
            prefect_url=prefect_url,
            prefect_api_url=prefect_api_url,
            database_url=database_url,
            files_root=files_root,
            pid=os.getpid(),
        )

    def _databases(self) -> tuple[str, str]:
        """The libpq URLs of the catalog's and of Prefect's database, both there."""
        given = self._options.database_url
        if given is None:
            log = self._layout.log("postgresql")
            start_log(log, "PostgreSQL starts")
            self._postgres = EmbeddedPostgres(self._layout.postgres, log)
            self._postgres.start()
            given, maintenance = self._postgres.url(DATABASE), self._postgres.url("postgres")
            ensure_database(maintenance, DATABASE)
            self._say("PostgreSQL")
        try:
            database = str(conninfo_to_dict(given).get("dbname") or DATABASE) + PREFECT_DATABASE_SUFFIX
            prefect_url = self._options.prefect_database_url
            if prefect_url is None:
                ensure_database(given, database)
                prefect_url = (
                    self._postgres.url(database)
                    if self._postgres is not None
                    else make_conninfo(given, dbname=database)
                )
            with psycopg.connect(prefect_url, connect_timeout=10):
                pass
        except psycopg.Error as error:
            raise StackError(
                f"The database cannot be used: {str(error).strip()}",
                "Check HEADRACE_DATABASE_URL; Prefect gets a database of its own beside it, which needs CREATEDB, "
                "or HEADRACE_PREFECT_DATABASE_URL.",
            ) from None
        return given, prefect_url

    def _prepare_catalog(self, database_url: str) -> None:
        from sqlalchemy.exc import SQLAlchemyError

        from catalog.engine import upgrade

        try:
            upgrade(database_url)
        except SQLAlchemyError as error:
            raise StackError(f"The catalog could not be brought up to date: {error}") from None
        self._say("catalog")

    def _launch(
        self,
        name: str,
        title: str,
        module: list[str],
        *at_first: str,
        environment: dict[str, str],
        stop_seconds: float,
        pass_fds: Sequence[int] = (),
    ) -> Part:
        part = Part(
            title,
            [*_PYTHON, *module],
            log=self._layout.log(name),
            # Not the user's folder: Prefect would read its settings from a pyproject.toml or .env there.
            folder=self._layout.prefect_home,
            environment=environment,
            stop_seconds=stop_seconds,
        )
        part.start(*at_first, pass_fds=pass_fds)
        self._parts.insert(0, part)
        return part

    def _until(self, condition: Callable[[], bool], seconds: float, part: Part) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            self._look()
            if time.monotonic() > deadline:
                raise StackError(
                    f"{part.title} was not ready within {seconds:.0f} s. The end of {part.log}:\n{last_lines(part.log)}"
                )

    def _look(self) -> None:
        """Waits a moment. Raises _StopRequested, or StackError when a part has ended."""
        self._wait()
        for part in self._parts:
            part.check()
        if self._postgres is not None:
            self._postgres.check()

    def _wait(self) -> None:
        if self._stopping():
            raise _StopRequested
        time.sleep(_LOOK_SECONDS)

    def _mend(self) -> None:
        """Starts again what died. A stack that has run goes on, whatever dies how often: what is well stays of use."""
        try:
            if self._postgres is not None and self._postgres.mend():
                self._say("PostgreSQL ended and was started again")
        except StackError as error:
            self._say(f"PostgreSQL ended and does not start; it is tried again. {error.message}")
        for part in self._parts:
            if (how := part.mend()) is not None:
                self._say(f"{part.title} {how} and was started again")
                if part is self._worker and self._lost_runs is not None:
                    self._lost_runs.since(datetime.now(UTC))
        if self._lost_runs is not None and (lost := self._lost_runs.end()):
            self._say(f"{lost} run(s) that died with the worker marked as crashed")

    def _stop(self) -> None:
        for part in self._parts:
            if not part.stop():
                self._report(f"{part.title} did not stop within {part.stop_seconds:.0f} s and was killed")
        if self._postgres is not None:
            self._postgres.stop()

    def _say(self, what: str) -> None:
        self._report(f"{time.monotonic() - self._began:5.1f} s  {what}")


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Turns SIGINT, SIGTERM and SIGHUP into a flag for as long as it is open."""
    received: list[int] = []

    def receive(number: int, _frame: FrameType | None) -> None:
        received.append(number)

    wanted = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, receive) for number in wanted}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _answers(url: str) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(url, timeout=5).status_code == httpx.codes.OK
    return False
